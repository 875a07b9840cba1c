-- What keeps the cost of a batch independent of the size of the tables.

-- The queue of anomaly_score_pending: newest first, and an entry leaves it as it is scored.
CREATE INDEX IF NOT EXISTS anomaly_pending ON log_entries (ingest_time DESC, tenant_id)
WHERE anomaly_scored_at IS NULL;

-- anomaly_detections lists the newest first.
CREATE INDEX IF NOT EXISTS anomaly_detections_newest ON detections (detected_at DESC);

-- anomaly_recent_runs and anomaly_status list the newest first.
CREATE INDEX IF NOT EXISTS anomaly_runs_newest ON anomaly_runs (started DESC);
