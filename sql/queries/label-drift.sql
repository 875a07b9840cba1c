-- How the share of each label changed between two periods
-- A label that moves by points without a change in the systems behind it says that the texts, or the model, changed.
-- :split           when the second period begins (default: a week ago)
-- :since, :until   when the first begins and the second ends (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
WITH split (time) AS (SELECT coalesce(:split, strftime('%Y-%m-%d', 'now', '-7 days'))),
counted AS (
    SELECT anomaly_label AS label,
           count(*) FILTER (WHERE anomaly_scored_at < (SELECT time FROM split)) AS before,
           count(*) FILTER (WHERE anomaly_scored_at >= (SELECT time FROM split)) AS after
    FROM log_entries
    WHERE anomaly_scored_at >= coalesce(:since, '') AND anomaly_scored_at < coalesce(:until, '~')
      AND anomaly_score IS NOT NULL
      AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
    GROUP BY anomaly_label
),
shared AS (
    SELECT *,
           100.0 * before / nullif(sum(before) OVER (), 0) AS share_before,
           100.0 * after / nullif(sum(after) OVER (), 0) AS share_after
    FROM counted
)
SELECT label,
       before,
       after,
       round(share_before, 1) AS percent_before,
       round(share_after, 1) AS percent_after,
       round(share_after - share_before, 1) AS points
FROM shared
ORDER BY abs(share_after - share_before) DESC, label;
