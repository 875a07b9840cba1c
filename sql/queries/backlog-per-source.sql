-- Entries that wait to be scored, per source
-- :tenant          whose rows, beside those of none (default: everybody's)
SELECT source_id AS source,
       count(*) AS pending,
       min(ingest_time) AS oldest,
       max(ingest_time) AS newest
FROM log_entries
WHERE anomaly_scored_at IS NULL
  AND (:tenant IS NULL OR tenant_id IN (:tenant, ''))
GROUP BY +source_id -- by no index: the one of the pending entries is the shortest
ORDER BY pending DESC, source;
