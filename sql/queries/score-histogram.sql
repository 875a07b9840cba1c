-- How the scores of each label are spread
-- A row for each twentieth: the bucket 0.75 holds the scores from 0.75 up to 0.80; a score of 1 is in 0.95.
-- :since, :until   when it was scored (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH bucketed AS (
    SELECT anomaly_label AS label, min(CAST(anomaly_score * 20 + 1e-9 AS INTEGER), 19) AS bucket
    FROM log_entries
    WHERE anomaly_scored_at >= coalesce(:since, '') AND anomaly_scored_at < coalesce(:until, '~')
      AND anomaly_score IS NOT NULL
      AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
)
SELECT label,
       round(bucket / 20.0, 2) AS score_from,
       count(*) AS entries,
       round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY label), 1) AS percent
FROM bucketed
GROUP BY label, bucket
ORDER BY label, bucket DESC;
