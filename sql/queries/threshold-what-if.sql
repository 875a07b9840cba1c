-- What another threshold would have detected
-- :threshold       the lowest score that would make a detection (default: 0.9)
-- :since, :until   when it was scored (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH anomalous (label) AS (
    -- The labels that are anomalies; any other is never detected.
    VALUES ('CONFIG_ERROR'), ('CRITICAL'), ('ERROR'), ('HARDWARE_ISSUE'), ('NETWORK_ANOMALY'), ('PERFORMANCE_ISSUE'),
           ('SECURITY_ANOMALY'), ('SYSTEM_FAILURE')
),
scored AS (
    SELECT anomaly_label AS label,
           anomaly_score >= coalesce(:threshold, 0.9) AS would_be,
           EXISTS (
               SELECT 1 FROM detections WHERE entry_id = CAST(log_entries.id AS TEXT) AND scorer = 'anomaly'
           ) AS is_one
    FROM log_entries
    WHERE anomaly_scored_at >= coalesce(:since, '') AND anomaly_scored_at < coalesce(:until, '~')
      AND anomaly_label IN (SELECT label FROM anomalous)
      AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
)
SELECT label,
       count(*) AS entries,
       sum(is_one) AS detections,
       sum(would_be) AS would_be,
       count(*) FILTER (WHERE would_be AND NOT is_one) AS more,
       count(*) FILTER (WHERE is_one AND NOT would_be) AS fewer
FROM scored
GROUP BY label
ORDER BY label;
