"""On the path of programs that the tests start: `import sqlite3` gives an SQLite that can load extensions."""

from __future__ import annotations

import sqlite3
import sys

if not hasattr(sqlite3.Connection, "enable_load_extension"):
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
