-- The latest critical detections
-- Those of the newest messages; where a message tells no time, it is that of its detection.
-- :severity        CRITICAL, ERROR or WARN (default: CRITICAL)
-- :unacknowledged  1 for those that nobody has acknowledged (default: all)
-- :tenant          whose rows, beside those of none (default: everybody's)
-- :most            how many (default: 20)
SELECT coalesce(strftime('%Y-%m-%dT%H:%M:%f', coalesce(
           CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
           CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
       )), '') AS time,
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
ORDER BY time DESC, id DESC
LIMIT coalesce(:most, 20);
