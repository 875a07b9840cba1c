-- The tables that anomaly_init() creates where they are missing. Every statement can run any number of times.

-- One row per log message. An insert may leave out all but id and text.
CREATE TABLE IF NOT EXISTS log_entries (
    id                TEXT PRIMARY KEY NOT NULL,
    tenant_id         TEXT NOT NULL DEFAULT '',
    source_id         TEXT,
    ingest_time       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    timestamp_iso     TEXT,
    severity          TEXT,
    text              TEXT,
    anomaly_score     REAL,
    anomaly_label     TEXT,
    anomaly_scored_at TEXT
);

-- One row per confident anomaly and scorer.
CREATE TABLE IF NOT EXISTS detections (
    id              TEXT PRIMARY KEY NOT NULL,
    tenant_id       TEXT NOT NULL DEFAULT '',
    entry_id        TEXT NOT NULL,
    source_id       TEXT,
    anomaly_label   TEXT NOT NULL,
    anomaly_score   REAL NOT NULL,
    severity        TEXT,
    text            TEXT,
    timestamp_iso   TEXT,
    detected_at     TEXT NOT NULL,
    acknowledged    INTEGER NOT NULL DEFAULT 0,
    acknowledged_at TEXT,
    notes           TEXT,
    scorer          TEXT NOT NULL DEFAULT 'anomaly',
    UNIQUE (entry_id, scorer)
);

-- One row per call that scores anything: which model said what the entries say, with which threshold. What a run
-- scored has an anomaly_scored_at between its started and its finished.
CREATE TABLE IF NOT EXISTS anomaly_runs (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant_id  TEXT NOT NULL DEFAULT '',
    model      TEXT NOT NULL,               -- as it was named
    revision   TEXT,                        -- the commit, of a model of the Hugging Face hub
    sha256     TEXT,                        -- of the graph's file, and of the weights beside it where there are any
    threshold  REAL NOT NULL,
    started    TEXT NOT NULL,
    finished   TEXT,                        -- stays NULL where the run was abandoned, interrupted or killed
    scored     INTEGER NOT NULL DEFAULT 0,
    detections INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    remaining  INTEGER,
    error      TEXT
);

-- The last runs, newest first.
CREATE VIEW IF NOT EXISTS anomaly_recent_runs AS
SELECT started, finished, model, revision, substr(sha256, 1, 12) AS sha256, threshold,
       scored, detections, failed, remaining, error, tenant_id
FROM anomaly_runs
ORDER BY started DESC
LIMIT 20;
