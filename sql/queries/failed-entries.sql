-- Entries that could not be scored
-- They left the queue without a score: their text is NULL, or the model failed on it alone.
-- :since, :until   when that was found (default: ever)
-- :tenant          whose rows, beside those of none (default: everybody's)
-- :most            how many, the latest first (default: 100)
SELECT id,
       source_id AS source,
       anomaly_scored_at AS scored_at,
       text IS NULL AS without_text,
       substr(text, 1, 200) AS text
FROM log_entries
WHERE anomaly_scored_at >= coalesce(:since, '') AND anomaly_scored_at < coalesce(:until, '~')
  AND anomaly_score IS NULL
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
ORDER BY anomaly_scored_at DESC, id
LIMIT coalesce(:most, 100);
