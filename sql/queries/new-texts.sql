-- Kinds of text that were never detected before
-- Texts that differ in their numbers only are of one kind: each number is written as #.
-- :since           what is new: first seen then or later, by the time of its messages (default: the last 24 hours)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH zeroed AS (
    SELECT replace(replace(replace(replace(replace(replace(replace(replace(replace(
               text, '1', '0'), '2', '0'), '3', '0'), '4', '0'), '5', '0'), '6', '0'), '7', '0'), '8', '0'),
               '9', '0') AS text,
           anomaly_label, severity, source_id,
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
       severity,
       min(time) AS first_seen,
       count(*) AS detections,
       count(DISTINCT source_id) AS sources
FROM zeroed
GROUP BY 1, 2, 3
HAVING min(time) >= coalesce(:since, strftime('%Y-%m-%dT%H:%M:%f', 'now', '-1 day'))
ORDER BY first_seen DESC, kind;
