"""The extension in apsw, which brings its own SQLite and is in autocommit mode anyway."""

import apsw
import sqlite_anomaly

db = apsw.Connection("logs.db")
sqlite_anomaly.load(db, model="bundled")
print(db.execute("SELECT anomaly_label('Out of memory: Killed process 4711 (java)')").fetchone()[0])
