-- The sources with the most detections
-- :since, :until   when it was detected (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
-- :most            how many sources (default: 20)
SELECT source_id AS source,
       count(*) AS detections,
       count(*) FILTER (WHERE NOT acknowledged) AS unacknowledged,
       count(*) FILTER (WHERE severity = 'CRITICAL') AS critical,
       count(DISTINCT text) AS texts,
       max(detected_at) AS last_detected
FROM detections
WHERE detected_at >= coalesce(:since, '') AND detected_at < coalesce(:until, '~')
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
GROUP BY source_id
ORDER BY detections DESC, source
LIMIT coalesce(:most, 20);
