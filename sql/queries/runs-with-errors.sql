-- Runs that ended with an error, that failed on entries, or that never finished
-- A run without an end is under way, or was abandoned, interrupted or killed.
-- :since, :until   when it started (default: ever)
-- :tenant          whose runs, beside those of none (default: everybody's)
SELECT started,
       CASE WHEN finished IS NULL THEN 'not finished' WHEN failed > 0 THEN 'failed on entries' ELSE 'error' END AS what,
       model, threshold, scored, failed, remaining, error
FROM anomaly_runs
WHERE started >= coalesce(:since, '') AND started < coalesce(:until, '~')
  AND (finished IS NULL OR failed > 0 OR error IS NOT NULL)
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
ORDER BY started DESC;
