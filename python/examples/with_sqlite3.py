"""The extension in the standard library's sqlite3."""

import sqlite3

import sqlite_anomaly

db = sqlite3.connect("logs.db", isolation_level=None)
sqlite_anomaly.load(db, model="bundled")
db.execute("SELECT anomaly_init()")

lines = [("1", "Failed password for root from 203.0.113.9 port 22 ssh2"), ("2", "session opened for user ada")]
db.executemany("INSERT OR IGNORE INTO log_entries (id, text) VALUES (?, ?)", lines)

result = sqlite_anomaly.score_pending(db, threshold=0.75)
print(result.scored, result.detections)
for label, text in db.execute("SELECT anomaly_label, text FROM anomaly_detections"):
    print(label, text)
