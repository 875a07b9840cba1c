-- Detections per hour and label
-- The hour, in UTC, is that of the message itself; of its detection where the message has no time of its own.
-- :since, :until   when it was detected (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
SELECT coalesce(strftime('%Y-%m-%dT%H:00', timestamp_iso), strftime('%Y-%m-%dT%H:00', detected_at)) AS hour,
       anomaly_label AS label,
       count(*) AS detections,
       count(DISTINCT source_id) AS sources,
       round(max(anomaly_score), 3) AS highest_score
FROM detections
WHERE detected_at >= coalesce(:since, '') AND detected_at < coalesce(:until, '~')
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
GROUP BY 1, 2
ORDER BY hour DESC, detections DESC, label;
