-- The tables as the application has them whose scorer this extension replaces: its detections know one scorer and no
-- unique entry, and its log entries have a column that is none of our business.

CREATE TABLE log_entries (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL DEFAULT '',
    source_id         TEXT,
    text              TEXT,
    severity          TEXT,
    timestamp_iso     TEXT,
    ingest_time       TEXT,
    host_facts        TEXT,
    anomaly_score     REAL,
    anomaly_label     TEXT,
    anomaly_scored_at TEXT
);

CREATE TABLE detections (
    id              TEXT PRIMARY KEY,
    tenant_id       TEXT,
    entry_id        TEXT,
    source_id       TEXT,
    anomaly_label   TEXT,
    anomaly_score   REAL,
    severity        TEXT,
    text            TEXT,
    timestamp_iso   TEXT,
    detected_at     TEXT,
    acknowledged    INTEGER NOT NULL DEFAULT 0,
    acknowledged_at TEXT,
    notes           TEXT
);
