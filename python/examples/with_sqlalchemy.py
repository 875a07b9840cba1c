"""The extension in every connection of an SQLAlchemy engine."""

import sqlite_anomaly
from sqlalchemy import create_engine, event, text

engine = create_engine("sqlite:///logs.db")


@event.listens_for(engine, "connect")
def load_anomaly(connection, record):
    sqlite_anomaly.load(connection, model="bundled")


with engine.begin() as connection:
    connection.execute(text("SELECT anomaly_init()"))
    insert = text("INSERT OR IGNORE INTO log_entries (id, text) VALUES (:id, :text)")
    connection.execute(insert, {"id": "3", "text": "smartd: /dev/sdc, 8 Currently unreadable (pending) sectors"})
    connection.execute(text("SELECT anomaly_score_all()"))
    for label, line in connection.execute(text("SELECT anomaly_label, text FROM anomaly_detections(1)")):
        print(label, line)
