-- Sources that fell silent
-- :since           silent from then on (default: for an hour)
-- :heard           but heard of then or later (default: in the last week)
-- :tenant          whose rows, beside those of none (default: everybody's)
SELECT source_id AS source,
       count(*) AS entries,
       max(ingest_time) AS last_heard
FROM log_entries
WHERE ingest_time >= coalesce(:heard, strftime('%Y-%m-%dT%H:%M:%f', 'now', '-7 days'))
  AND source_id IS NOT NULL
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
GROUP BY source_id
HAVING max(ingest_time) < coalesce(:since, strftime('%Y-%m-%dT%H:%M:%f', 'now', '-1 hour'))
ORDER BY last_heard DESC, source;
