-- Detections per hour and label
-- The hour, in UTC, is that of the message itself; of its detection where the message has no time of its own.
-- :since, :until   when it was detected (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
SELECT coalesce(
           -- A time begins with a year: SQLite also takes 'now' for one, which a log can say, and a number of days.
           CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN strftime('%Y-%m-%dT%H:00', timestamp_iso) END,
           CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN strftime('%Y-%m-%dT%H:00', detected_at) END
       ) AS hour,
       anomaly_label AS label,
       count(*) AS detections,
       count(DISTINCT source_id) AS sources,
       round(max(anomaly_score), 3) AS highest_score
FROM detections
WHERE detected_at >= coalesce(:since, '') AND detected_at < coalesce(:until, '~')
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
GROUP BY 1, 2
ORDER BY hour DESC, detections DESC, label;
