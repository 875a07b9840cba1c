-- Sources by severity, with what nobody has looked at yet
-- :since, :until   the time of the messages, in UTC (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH waiting AS (
    SELECT source_id, severity,
           coalesce(strftime('%Y-%m-%dT%H:%M:%f', coalesce(
               CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
               CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
           )), '') AS time
    FROM detections
    WHERE NOT acknowledged AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
)
SELECT source_id AS source,
       count(*) FILTER (WHERE severity = 'CRITICAL') AS critical,
       count(*) FILTER (WHERE severity = 'ERROR') AS error,
       count(*) FILTER (WHERE severity = 'WARN') AS warn,
       min(time) AS oldest
FROM waiting
WHERE time >= coalesce(:since, '') AND time < coalesce(:until, '~')
GROUP BY source_id
ORDER BY critical DESC, error DESC, warn DESC, source;
