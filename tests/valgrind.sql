-- What `make valgrind` runs in the sqlite3 shell: each function once, in success and in failure.
.load dist/anomaly0
SELECT anomaly_config('model', 'tests/models/levels');
SELECT anomaly_init();
INSERT INTO log_entries (id, text) VALUES ('a', 'failed failed'), ('b', NULL), ('c', 'ok'), ('d', x'ff00'), ('e', 17);
SELECT * FROM anomaly_score_pending(2, 0.5);
INSERT INTO log_entries (id, text) VALUES ('f', 'explode'), ('g', 'nan'), ('h', printf('%.*c', 100000, 'x'));
SELECT anomaly_score_all();
SELECT * FROM anomaly_score_pending LIMIT 1;
SELECT * FROM anomaly_detections;
SELECT anomaly_acknowledge(id, 'seen') FROM detections;
SELECT anomaly_classify('it failed'), anomaly_score('a'), anomaly_label(NULL), anomaly_version();
SELECT * FROM anomaly_scores('slow');
SELECT * FROM anomaly_classify_each('["a", null, 7]');
SELECT * FROM anomaly_status;
SELECT anomaly_config('modle');
SELECT anomaly_config('batch', 0);
SELECT * FROM anomaly_scores;
SELECT * FROM anomaly_classify_each('{');
SELECT anomaly_label('nan');
SELECT anomaly_config('model', '/nowhere');
SELECT anomaly_config('model', 'tests/models/too-wide');
SELECT anomaly_label('failed');
SELECT anomaly_config('model', 'tests/models/external');
SELECT anomaly_label('failed');
SELECT anomaly_reset();
SELECT anomaly_label('failed');
