-- Indexes that make the ready queries fast where there are millions of entries
-- To be run once; it can be run again. The README of this folder says what they save and what they cost.

-- What was scored when, and what came of it. An entry enters it as it is scored.
CREATE INDEX IF NOT EXISTS anomaly_report_scored ON log_entries (
    anomaly_scored_at, anomaly_label, anomaly_score, tenant_id
) WHERE anomaly_scored_at IS NOT NULL;

-- When a source was heard of, and which entries are the oldest.
CREATE INDEX IF NOT EXISTS anomaly_report_heard ON log_entries (ingest_time, source_id, tenant_id);
