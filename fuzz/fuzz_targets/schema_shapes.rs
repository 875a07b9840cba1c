//! Databases that came from elsewhere: tables of our names with any columns, keys and types, views, triggers, indexes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sqlite_anomaly_fuzz::folder::test_model;
use sqlite_anomaly_fuzz::promise::{self, broken, done, hold};
use sqlite_anomaly_fuzz::{Encoding, Failure, Host, Value, words};

#[derive(Arbitrary, Debug)]
struct Database {
    encoding: Encoding,
    pragmas: Vec<Pragma>,
    objects: Vec<Object>,
    rows: Vec<Row>,
    calls: Vec<Call>,
}

words! {
    TableName: [
        "log_entries", "detections", "anomaly_runs", "LOG_ENTRIES", "temp.log_entries", "temp.detections",
        "other",
    ];
    /// Names that stand for something, in our tables or in SQLite.
    ColumnName: [
        "id", "tenant_id", "source_id", "ingest_time", "timestamp_iso", "severity", "text", "anomaly_score",
        "anomaly_label", "anomaly_scored_at", "entry_id", "detected_at", "acknowledged", "acknowledged_at",
        "notes", "scorer", "model", "revision", "sha256", "threshold", "started", "finished", "scored",
        "detections", "failed", "remaining", "error", "rowid", "_rowid_", "oid", "ID", "Text", "\"\"",
        "\"a b\"", "\"é\"", "hidden",
    ];
    Type: [
        "", "TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC", "ANY", "VARCHAR(3)", "DATETIME", "ANY HIDDEN",
        "INT",
    ];
    Constraint: [
        "", "PRIMARY KEY", "PRIMARY KEY DESC", "PRIMARY KEY AUTOINCREMENT", "NOT NULL", "UNIQUE",
        "DEFAULT ''", "DEFAULT 7", "DEFAULT (abs(-1))", "NOT NULL DEFAULT 0", "COLLATE NOCASE",
        "COLLATE RTRIM", "CHECK (length(text) < 9)", "GENERATED ALWAYS AS ('x') VIRTUAL",
        "AS (lower(text)) STORED", "AS (anomaly_score * 2)", "REFERENCES other",
        "REFERENCES log_entries ON DELETE CASCADE", "UNIQUE ON CONFLICT REPLACE",
        "NOT NULL ON CONFLICT IGNORE", "UNIQUE ON CONFLICT ROLLBACK", "PRIMARY KEY ON CONFLICT ABORT",
    ];
    TableConstraint: [
        "", ", PRIMARY KEY (id)", ", PRIMARY KEY (id, tenant_id)", ", PRIMARY KEY (text)",
        ", UNIQUE (entry_id, scorer)", ", CHECK (anomaly_score IS NULL)",
        ", FOREIGN KEY (entry_id) REFERENCES log_entries (id)",
        ", UNIQUE (anomaly_scored_at) ON CONFLICT ROLLBACK",
    ];
    TableOption: ["", "WITHOUT ROWID", "STRICT", "STRICT, WITHOUT ROWID"];
    IndexName: [
        "anomaly_pending", "anomaly_detections_entry", "anomaly_detections_newest", "anomaly_runs_newest",
        "own",
    ];
    Indexed: [
        "id", "entry_id", "entry_id, scorer", "text", "lower(text)", "ingest_time DESC", "anomaly_scored_at",
        "tenant_id",
    ];
    Where: [
        "", "WHERE anomaly_scored_at IS NULL", "WHERE id > 'b'", "WHERE scorer = 'anomaly'",
        "WHERE text IS NOT NULL",
    ];
    ViewName: [
        "log_entries", "detections", "anomaly_runs", "anomaly_recent_runs", "anomaly_pending",
        "temp.log_entries", "temp.detections", "temp.anomaly_runs", "pragma_table_xinfo",
        "temp.sqlite_master", "pragma_function_list", "pragma_index_list", "anomaly_status",
    ];
    Query: [
        "SELECT 1 AS id", "SELECT * FROM log_entries", "SELECT * FROM other", "SELECT * FROM missing",
        "SELECT id, anomaly_label(text) AS text FROM log_entries", "SELECT anomaly_score_all() AS id",
        "SELECT * FROM anomaly_status",
        "SELECT 1 AS id, 'x' AS text, NULL AS anomaly_scored_at, '' AS tenant_id",
        "SELECT * FROM anomaly_score_pending()",
    ];
    Event: [
        "BEFORE INSERT", "AFTER INSERT", "BEFORE UPDATE", "AFTER UPDATE", "AFTER UPDATE OF anomaly_scored_at",
        "BEFORE DELETE", "INSTEAD OF INSERT", "INSTEAD OF UPDATE",
    ];
    Action: [
        "SELECT 1", "SELECT RAISE(ABORT, 'no')", "SELECT RAISE(IGNORE)", "SELECT RAISE(ROLLBACK, 'no')",
        "SELECT RAISE(FAIL, 'no')", "UPDATE log_entries SET anomaly_scored_at = NULL",
        "DELETE FROM log_entries", "DELETE FROM detections",
        "INSERT INTO log_entries (id, text) SELECT count(*), 'failed' FROM log_entries",
        "INSERT INTO other SELECT anomaly_label(NEW.text)", "SELECT anomaly_score_all()",
        "SELECT anomaly_init()", "SELECT count(*) FROM anomaly_scores('ok')", "SELECT * FROM missing",
        "UPDATE log_entries SET id = id || 'x'", "UPDATE detections SET entry_id = 'a'",
        "SELECT anomaly_classify('nan explode')", "UPDATE OR REPLACE log_entries SET id = NEW.id",
        "DELETE FROM anomaly_runs", "UPDATE anomaly_runs SET id = id || 'y'",
        "INSERT INTO anomaly_runs (id, model, threshold, started) SELECT count(*), '', 0, '' FROM anomaly_runs",
        "UPDATE log_entries SET rowid = rowid + 1000", "SELECT RAISE(ABORT, '')",
        "INSERT OR REPLACE INTO log_entries SELECT * FROM log_entries",
        "SELECT count(*) FROM anomaly_status", "INSERT INTO detections SELECT * FROM detections",
    ];
    Pragma: [
        "foreign_keys = on", "recursive_triggers = on", "trusted_schema = off", "legacy_alter_table = on",
        "count_changes = on", "reverse_unordered_selects = on", "short_column_names = off",
        "full_column_names = on", "query_only = on", "defer_foreign_keys = on", "writable_schema = on",
        "cell_size_check = on", "ignore_check_constraints = on", "case_sensitive_like = on",
        "max_page_count = 12", "user_version = -1", "automatic_index = off", "empty_result_callbacks = on",
    ];
    Call: [
        "SELECT anomaly_init()", "SELECT anomaly_score_all()", "SELECT anomaly_score_all(1, 0)",
        "SELECT * FROM anomaly_score_pending(2, 0)", "SELECT * FROM anomaly_detections(9)",
        "SELECT * FROM anomaly_detections(9, 1, 'error', 'anomaly')",
        "SELECT anomaly_acknowledge('a', 'seen')", "SELECT anomaly_acknowledge(id) FROM detections",
        "SELECT * FROM anomaly_status", "BEGIN", "COMMIT", "ROLLBACK",
        "SELECT anomaly_config('tenant_id', 'x')", "UPDATE log_entries SET anomaly_scored_at = NULL",
        "INSERT INTO other SELECT sum(scored) FROM anomaly_score_pending(1, 0)",
        "INSERT INTO other SELECT anomaly_score_all(1, 0)", "DROP TABLE detections", "DROP TABLE log_entries",
        "CREATE TABLE detections (id, entry_id)", "CREATE TABLE log_entries (id, text)",
        "ALTER TABLE log_entries DROP COLUMN text", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "VACUUM",
        "REINDEX", "ALTER TABLE detections RENAME COLUMN entry_id TO e2", "ATTACH ':memory:' AS aux",
        "CREATE TABLE aux.log_entries (id, tenant_id, text)", "DELETE FROM anomaly_runs",
        "SELECT a.batch, b.batch FROM anomaly_score_pending(1, 0) AS a, anomaly_score_pending(2, 0) AS b",
        "SELECT anomaly_reset()", "UPDATE log_entries SET severity = anomaly_score_all(1, 0)",
        "UPDATE detections SET notes = anomaly_acknowledge(id, 'seen')",
        "INSERT INTO log_entries (id) VALUES ('a') ON CONFLICT DO UPDATE SET text = anomaly_score_all()",
        "DELETE FROM log_entries WHERE anomaly_score_all(1, 0) = ''",
    ];
}

#[derive(Arbitrary, Debug)]
enum Row {
    /// As many values as there are columns, again from the start where there are too few.
    Whole { table: TableName, values: Vec<Value> },
    /// An entry that is pending.
    Entry { id: Value, text: Value },
    /// An entry that is pending and becomes a detection.
    Anomaly { id: Value },
}

#[derive(Arbitrary, Debug)]
enum Object {
    /// What anomaly_init() makes.
    Ours,
    Table {
        name: TableName,
        columns: Vec<(ColumnName, Type, Constraint, Constraint)>,
        constraint: TableConstraint,
        option: TableOption,
    },
    /// A table such as anomaly_init() makes, with another column or constraint.
    OurTable {
        name: TableName,
        but: Vec<(ColumnName, Type, Constraint)>,
        constraint: TableConstraint,
        option: TableOption,
    },
    Index {
        unique: bool,
        name: IndexName,
        table: TableName,
        columns: Indexed,
        condition: Where,
    },
    View {
        name: ViewName,
        query: Query,
    },
    Trigger {
        event: Event,
        table: TableName,
        action: Action,
    },
}

impl Object {
    fn sql(&self, number: usize) -> String {
        match self {
            Self::Ours => "SELECT anomaly_init()".to_owned(),
            Self::Table { name, columns, constraint, option } => {
                let columns: Vec<_> = columns
                    .iter()
                    .map(|(name, kind, one, two)| format!("{} {} {} {}", name.0, kind.0, one.0, two.0))
                    .collect();
                format!("CREATE TABLE {} ({}{}) {}", name.0, columns.join(", "), constraint.0, option.0)
            }
            Self::OurTable { name, but, constraint, option } => {
                let columns: Vec<_> = ours(name)
                    .iter()
                    .map(|&column| match but.iter().find(|(other, ..)| other.0 == column) {
                        Some((_, kind, constraint)) => format!("{column} {} {}", kind.0, constraint.0),
                        None => format!("{column} TEXT"),
                    })
                    .collect();
                format!("CREATE TABLE {} ({}{}) {}", name.0, columns.join(", "), constraint.0, option.0)
            }
            Self::Index { unique, name, table, columns, condition } => format!(
                "CREATE {} INDEX {} ON {} ({}) {}",
                if *unique { "UNIQUE" } else { "" },
                name.0,
                table.0,
                columns.0,
                condition.0
            ),
            Self::View { name, query } => format!("CREATE VIEW {} AS {}", name.0, query.0),
            Self::Trigger { event, table, action } => {
                format!("CREATE TRIGGER t{number} {} ON {} BEGIN {}; END", event.0, table.0, action.0)
            }
        }
    }
}

/// The columns without which anomaly_init() takes a table for another's.
fn ours(name: &TableName) -> &'static [&'static str] {
    match name.0 {
        "detections" | "temp.detections" => &[
            "id",
            "tenant_id",
            "entry_id",
            "source_id",
            "anomaly_label",
            "anomaly_score",
            "severity",
            "text",
            "timestamp_iso",
            "detected_at",
        ],
        "anomaly_runs" => &[
            "id",
            "tenant_id",
            "model",
            "revision",
            "sha256",
            "threshold",
            "started",
            "finished",
            "scored",
            "detections",
            "failed",
            "remaining",
            "error",
        ],
        _ => &[
            "id",
            "tenant_id",
            "source_id",
            "ingest_time",
            "timestamp_iso",
            "text",
            "anomaly_score",
            "anomaly_label",
            "anomaly_scored_at",
        ],
    }
}

const MOST: usize = 12;

fuzz_target!(|database: Database| {
    let host = promise::host(database.encoding);
    done(host.query("SELECT anomaly_config('model', ?)", &[test_model("levels")]), "no model");
    // What SQLite refuses is not there.
    for Pragma(pragma) in database.pragmas.iter().take(MOST) {
        let _ = host.query(&format!("PRAGMA {pragma}"), &[]);
    }
    let _ = host.query("CREATE TABLE other (a)", &[]);
    for (number, object) in database.objects.iter().take(MOST).enumerate() {
        let _ = host.query(&object.sql(number), &[]);
    }
    for row in database.rows.iter().take(MOST) {
        insert(&host, row);
    }
    let was_sound = is_sound(&host);
    for call in database.calls.iter().take(MOST) {
        make(&host, call);
    }
    if !host.is_autocommit() {
        let _ = host.query("ROLLBACK", &[]);
    }
    hold(!was_sound || is_sound(&host), "the database is damaged");
    promise::alive(&host);
});

fn insert(host: &Host, row: &Row) {
    const ENTRY: &str = "INSERT INTO log_entries (id, text, tenant_id) VALUES (?, ?, '')";
    let _ = match row {
        Row::Whole { table, values } => insert_whole(host, table, values),
        Row::Entry { id, text } => host.query(ENTRY, &[id.clone(), text.clone()]).map(drop),
        Row::Anomaly { id } => host.query(ENTRY, &[id.clone(), "it failed".into()]).map(drop),
    };
}

fn insert_whole(host: &Host, TableName(table): &TableName, values: &[Value]) -> Result<(), Failure> {
    let name = table.rsplit('.').next().unwrap_or(table);
    let count = host.query("SELECT name FROM pragma_table_info(?)", &[name.into()])?.len();
    let marks: Vec<_> = (0..count).map(|index| format!("?{}", index % values.len().max(1) + 1)).collect();
    host.query(&format!("INSERT INTO {table} VALUES ({})", marks.join(", ")), values).map(drop)
}

/// Whether no table and index of the database disagree. That a value is not of its column's type is not looked at: SQLite
/// lets a STRICT table's generated column become so by any update.
fn is_sound(host: &Host) -> bool {
    let is_type =
        |row: &Vec<Value>| row.iter().filter_map(Value::as_text).any(|text| text.contains("value in"));
    host.query("PRAGMA integrity_check", &[])
        .is_ok_and(|rows| rows == [["ok".into()]] || rows.iter().all(is_type))
}

fn make(host: &Host, Call(sql): &Call) {
    let before = host.is_autocommit();
    let outcome = host.query(sql, &[]);
    let is_ours = sql.starts_with("SELECT") && sql.contains("anomaly_");
    if !is_ours {
        return;
    }
    // A trigger or a conflict clause of the schema may roll the host's transaction back; none begins one.
    hold(before || host.is_autocommit() == before || outcome.is_err(), "a call ended the host's transaction");
    hold(!before || host.is_autocommit(), "a call left a transaction open");
    let Some(rows) = promise::answer(outcome) else { return };
    match (*sql, rows.as_slice()) {
        ("SELECT anomaly_init()", [row]) => {
            row.iter().for_each(|value| _ = promise::changes(value));
            let again = host.query(sql, &[]);
            let again = done(again, "anomaly_init() fails the second time");
            again.iter().flatten().for_each(|value| {
                hold(
                    promise::changes(value) == 0,
                    format_args!("anomaly_init() finds more to do: {value:?}"),
                );
            });
        }
        ("SELECT anomaly_score_all()" | "SELECT anomaly_score_all(1, 0)", [row]) => {
            row.iter().for_each(promise::totals);
        }
        ("SELECT * FROM anomaly_score_pending(2, 0)", rows @ [_, ..]) => {
            rows.iter().for_each(|row| promise::report(row));
        }
        ("SELECT * FROM anomaly_score_pending(2, 0)", []) => broken("anomaly_score_pending gave no row"),
        _ => {}
    }
}
