-- A table of what each day brought, per source and label
-- Makes anomaly_daily, or brings it up to date: the last two days are counted anew, those before stay as they are, also
-- when their entries are deleted. The day, in UTC, is that of the scoring. The label '' counts what could not be
-- scored.
-- :since           the first day to count anew, as 2026-06-13 (default: the last two days, at first all of them)
CREATE TABLE IF NOT EXISTS anomaly_daily (
    day        TEXT NOT NULL,
    tenant_id  TEXT NOT NULL,
    source_id  TEXT NOT NULL,
    label      TEXT NOT NULL,
    entries    INTEGER NOT NULL,
    detections INTEGER NOT NULL,
    PRIMARY KEY (day, tenant_id, source_id, label)
) WITHOUT ROWID;

BEGIN IMMEDIATE;

-- Two days, for a batch of yesterday's scores may be committed after midnight.
DELETE FROM anomaly_daily
WHERE day >= coalesce(:since, (SELECT date(max(day), '-1 day') FROM anomaly_daily));

INSERT INTO anomaly_daily (day, tenant_id, source_id, label, entries, detections)
WITH since (day) AS (SELECT coalesce(:since, date(max(day), '+1 day'), '') FROM anomaly_daily)
SELECT substr(time, 1, 10), tenant_id, coalesce(source_id, ''), coalesce(label, ''), sum(entry), sum(detection)
FROM (
    SELECT anomaly_scored_at AS time, tenant_id, source_id, anomaly_label AS label, 1 AS entry, 0 AS detection
    FROM log_entries WHERE anomaly_scored_at >= (SELECT day FROM since)
    UNION ALL
    SELECT detected_at, tenant_id, source_id, anomaly_label, 0, 1
    FROM detections WHERE detected_at >= (SELECT day FROM since)
)
GROUP BY 1, 2, 3, 4;

COMMIT;
