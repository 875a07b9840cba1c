-- Deletes old entries with their detections
-- What is pending stays, and so does what has a detection that nobody has acknowledged. Entries go with all that was
-- said of them in one transaction, so that no detection is left without its entry. The answer is how many went; repeat
-- it until that is 0. To keep count of what is deleted, run daily-summary.sql before.
-- :before          what was ingested before then, as 2026-06-13T00:00:00 (where it is no such text, nothing is deleted,
--                  and a second row says so)
-- :unacknowledged  1 to delete entries with unacknowledged detections too (default: they stay)
-- :tenant          whose rows only (default: everybody's)
-- :most            how many entries in one transaction (default: 10000)
CREATE TEMP TABLE IF NOT EXISTS expired (id PRIMARY KEY);

BEGIN IMMEDIATE;

DELETE FROM temp.expired;

INSERT INTO temp.expired
SELECT id FROM log_entries
WHERE ingest_time < :before
  AND :before GLOB '[1-9][0-9][0-9][0-9]-[0-1][0-9]*' -- and not 2024, which 2026-01-01 is without quotes
  AND anomaly_scored_at IS NOT NULL
  AND (:tenant IS NULL OR tenant_id = :tenant)
  AND (coalesce(:unacknowledged, 0) OR NOT EXISTS (
      SELECT 1 FROM detections WHERE entry_id = CAST(log_entries.id AS TEXT) AND NOT acknowledged
  ))
LIMIT coalesce(:most, 10000);

DELETE FROM detections WHERE entry_id IN (SELECT CAST(id AS TEXT) FROM temp.expired);

DELETE FROM log_entries WHERE id IN (SELECT id FROM temp.expired);

DELETE FROM anomaly_runs
WHERE started < :before
  AND :before GLOB '[1-9][0-9][0-9][0-9]-[0-1][0-9]*'
  AND (:tenant IS NULL OR tenant_id = :tenant);

COMMIT;

SELECT count(*) AS deleted FROM temp.expired
UNION ALL
SELECT ':before is no date: .parameter set :before "''2026-06-13''", with both kinds of quotes'
WHERE coalesce(:before, '') NOT GLOB '[1-9][0-9][0-9][0-9]-[0-1][0-9]*';
