"""`python -m sqlite_anomaly` is the command `sqlite-anomaly`."""

from __future__ import annotations

import sys

from sqlite_anomaly.cli import main

sys.exit(main())
