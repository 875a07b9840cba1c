-- Sources by severity, with what nobody has looked at yet
-- :since, :until   when it was detected (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
SELECT source_id AS source,
       count(*) FILTER (WHERE severity = 'CRITICAL') AS critical,
       count(*) FILTER (WHERE severity = 'ERROR') AS error,
       count(*) FILTER (WHERE severity = 'WARN') AS warn,
       min(detected_at) AS waiting_since
FROM detections
WHERE NOT acknowledged
  AND detected_at >= coalesce(:since, '') AND detected_at < coalesce(:until, '~')
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
GROUP BY source_id
ORDER BY critical DESC, error DESC, warn DESC, source;
