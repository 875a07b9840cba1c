"""The seed's `anomaly.py` and the extension, run on the same databases and compared."""
