-- False alarms per label, by the notes of acknowledged detections
-- A threshold just above highest_false would have silenced them all; genuine_lost is what it would have cost.
-- :pattern         what such a note looks like (default: %false%)
-- :since, :until   the time of the messages, in UTC (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH found AS (
    SELECT anomaly_label, anomaly_score, notes,
           coalesce(strftime('%Y-%m-%dT%H:%M:%f', coalesce(
               CASE WHEN timestamp_iso GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(timestamp_iso) END,
               CASE WHEN detected_at GLOB '[1-9][0-9][0-9][0-9]-*' THEN julianday(detected_at) END
           )), '') AS time
    FROM detections
    WHERE acknowledged AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
),
judged AS (
    SELECT anomaly_label, anomaly_score, coalesce(notes LIKE coalesce(:pattern, '%false%'), 0) AS is_false
    FROM found
    WHERE time >= coalesce(:since, '') AND time < coalesce(:until, '~')
),
highest AS (
    SELECT anomaly_label, max(anomaly_score) AS score FROM judged WHERE is_false GROUP BY anomaly_label
)
SELECT judged.anomaly_label AS label,
       count(*) AS acknowledged,
       sum(is_false) AS false_alarms,
       round(100.0 * sum(is_false) / count(*), 1) AS percent_false,
       round(highest.score, 3) AS highest_false,
       count(*) FILTER (WHERE NOT is_false AND anomaly_score <= highest.score) AS genuine_lost
FROM judged LEFT JOIN highest USING (anomaly_label)
GROUP BY judged.anomaly_label
ORDER BY false_alarms DESC, label;
