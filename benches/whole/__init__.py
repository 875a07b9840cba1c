"""The whole of the extension beside other ways to score a log table: `make bench`."""
