"""The extension in pysqlite3, the standard library's module with another SQLite."""

import pysqlite3 as sqlite3
import sqlite_anomaly

db = sqlite3.connect("logs.db", isolation_level=None)
sqlite_anomaly.load(db, model="bundled")
print(db.execute("SELECT anomaly_label('Out of memory: Killed process 4711 (java)')").fetchone()[0])
