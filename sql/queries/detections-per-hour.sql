-- Detections per hour and label
-- The hour, in UTC, is that of the message itself; of its detection where the message has no time of its own.
-- :since, :until   the time of the messages, in UTC (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH found AS (
    SELECT anomaly_label, anomaly_score, source_id,
           coalesce(strftime('%Y-%m-%dT%H:%M:%f', coalesce(
               CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
               CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
           )), '') AS time
    FROM detections
    WHERE (:tenant IS NULL OR tenant_id IN (:tenant, ''))
)
SELECT strftime('%Y-%m-%dT%H:00', time) AS hour,
       anomaly_label AS label,
       count(*) AS detections,
       count(DISTINCT source_id) AS sources,
       round(max(anomaly_score), 3) AS highest_score
FROM found
WHERE time >= coalesce(:since, '') AND time < coalesce(:until, '~')
GROUP BY 1, 2
ORDER BY hour DESC, detections DESC, label;
