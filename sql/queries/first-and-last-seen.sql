-- When each kind of text was first and last seen
-- By the time of its messages; of their detection where they have no time of their own.
-- Texts that differ in their numbers only are of one kind: each number is written as #.
-- :tenant          whose rows, beside those of none (default: everybody's)
-- :most            how many kinds, those seen last first (default: 100)
WITH zeroed AS (
    SELECT replace(replace(replace(replace(replace(replace(replace(replace(replace(
               text, '1', '0'), '2', '0'), '3', '0'), '4', '0'), '5', '0'), '6', '0'), '7', '0'), '8', '0'),
               '9', '0') AS text,
           anomaly_label, source_id,
           coalesce(strftime('%Y-%m-%dT%H:%M:%f', coalesce(
               CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
               CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
           )), '') AS time
    FROM detections
    WHERE :tenant IS NULL OR tenant_id IN (:tenant, '')
)
-- Every 0 becomes a pair, and where two pairs meet they vanish: of a run of zeros one pair is left.
SELECT replace(replace(replace(text, '0', char(1, 2)), char(2, 1), ''), char(1, 2), '#') AS kind,
       anomaly_label AS label,
       min(time) AS first_seen,
       max(time) AS last_seen,
       count(*) AS detections,
       count(DISTINCT source_id) AS sources
FROM zeroed
GROUP BY 1, 2
ORDER BY last_seen DESC, kind
LIMIT coalesce(:most, 100);
