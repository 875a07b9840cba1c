-- The sources with the most detections
-- :since, :until   the time of the messages, in UTC (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
-- :most            how many sources (default: 20)
WITH found AS (
    SELECT source_id, severity, acknowledged, text,
           coalesce(strftime('%Y-%m-%dT%H:%M:%f', coalesce(
               CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
               CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
           )), '') AS time
    FROM detections
    WHERE (:tenant IS NULL OR tenant_id IN (:tenant, ''))
)
SELECT source_id AS source,
       count(*) AS detections,
       count(*) FILTER (WHERE NOT acknowledged) AS unacknowledged,
       count(*) FILTER (WHERE severity = 'CRITICAL') AS critical,
       count(DISTINCT text) AS texts,
       max(time) AS last_seen
FROM found
WHERE time >= coalesce(:since, '') AND time < coalesce(:until, '~')
GROUP BY source_id
ORDER BY detections DESC, source
LIMIT coalesce(:most, 20);
