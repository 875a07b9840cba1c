-- Every insert of this connection scores what it inserts
-- Needs the extension, with a model configured; without one the trigger does nothing. It is gone with the connection.
-- Each entry is scored by itself, inside the INSERT: an error of the model is an error of the INSERT, and each leaves a
-- row in anomaly_runs. A backlog would be scored by the first INSERT: score it beforehand.
CREATE TEMP TRIGGER IF NOT EXISTS score_on_insert AFTER INSERT ON main.log_entries
WHEN new.anomaly_scored_at IS NULL
BEGIN
    SELECT anomaly_score_all();
END;
