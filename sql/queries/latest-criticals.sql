-- The latest critical detections
-- :severity        CRITICAL, ERROR or WARN (default: CRITICAL)
-- :unacknowledged  1 for those that nobody has acknowledged (default: all)
-- :tenant          whose rows, beside those of none (default: everybody's)
-- :most            how many (default: 20)
SELECT detected_at,
       source_id AS source,
       anomaly_label AS label,
       round(anomaly_score, 3) AS score,
       text,
       acknowledged,
       id
FROM detections
WHERE severity = coalesce(:severity, 'CRITICAL')
  AND NOT (coalesce(:unacknowledged, 0) AND acknowledged)
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
ORDER BY detected_at DESC
LIMIT coalesce(:most, 20);
