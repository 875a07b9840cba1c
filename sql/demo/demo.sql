-- The demo: a day of a small company's logs, scored in the sqlite3 shell. Run by `make demo` in the project's folder.
.bail on
.load dist/anomaly0
.mode list
.headers off

SELECT 'sqlite-anomaly ' || anomaly_version() || ', SQLite ' || sqlite_version();
SELECT 'model: ' || anomaly_config('model', 'bundled');
SELECT 'anomaly_init(): ' || anomaly_init();

-- One line of the file is "TIME HOST MESSAGE". No character separates columns, so that each line stays whole.
CREATE TEMP TABLE line (line TEXT);
.mode ascii
.separator "\001" "\n"
.import sql/demo/sample.log line
.mode list

INSERT INTO log_entries (id, source_id, timestamp_iso, text)
SELECT printf('sample-%03d', number), substr(rest, 1, instr(rest, ' ') - 1), time, substr(rest, instr(rest, ' ') + 1)
FROM (
    SELECT rowid AS number, substr(line, 1, instr(line, ' ') - 1) AS time, substr(line, instr(line, ' ') + 1) AS rest
    FROM temp.line
);
SELECT count(*) || ' lines of ' || count(DISTINCT source_id) || ' machines to score:' FROM log_entries;

SELECT printf('  batch %d: %3d scored, %2d detections, %3d to go, %3d ms', batch, scored, detections, remaining, elapsed_ms)
FROM anomaly_score_pending(64, 0.75);

SELECT printf('
What it found:

%-8s  %-9s  %-17s  %-5s  %s', 'time', 'machine', 'label', 'score', 'message');
SELECT '--------  ---------  -----------------  -----  ' || printf('%.*c', 96, '-');
SELECT printf('%-8s  %-9s  %-17s  %5.2f  %s',
              substr(timestamp_iso, 12, 8), source_id, anomaly_label, anomaly_score, substr(text, 1, 96))
FROM anomaly_detections(1000)
ORDER BY source_id, timestamp_iso;

SELECT printf('
%d of %d lines are detections: %s.', sum(n), (SELECT count(*) FROM log_entries), group_concat(n || ' ' || label, ', '))
FROM (
    SELECT replace(lower(anomaly_label), '_', ' ') AS label, count(*) AS n
    FROM detections GROUP BY anomaly_label ORDER BY n DESC
);
SELECT '
Where to go next:
  sqlite3 target/demo/demo.db        look around: log_entries, detections
  .load dist/anomaly0                in any sqlite3 shell, then
  SELECT anomaly_config(''model'', ''bundled'');
  SELECT anomaly_classify(''smartd: /dev/sdc, 8 currently unreadable sectors'');
  README.md                          your own logs, your own model, every setting';
