//! Every SQL function, in every place of a statement, with arguments of every kind and number, inside and outside of a
//! transaction.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sqlite_anomaly_fuzz::folder::test_model;
use sqlite_anomaly_fuzz::promise::{self, broken, done, hold};
use sqlite_anomaly_fuzz::{Encoding, Host, Row, Value, words};

#[derive(Arbitrary, Debug)]
struct Session {
    encoding: Encoding,
    model: Model,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Model {
    None,
    Levels,
    AllNan,
    External,
    Narrow,
    NoMask,
    TooWide,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Call(Call),
    Insert { id: Argument, text: Argument, tenant_id: Argument, ingest_time: Argument },
    Begin,
    Commit,
    RollBack,
}

#[derive(Arbitrary, Debug)]
struct Call {
    function: Function,
    place: Place,
    arguments: Vec<Argument>,
}

/// Where a function is called.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    Scalar,
    Table,
    /// A table function whose arguments come from another table.
    Joined,
    /// A table function that is abandoned after its first row.
    Abandoned,
    /// A scalar function in a statement that writes.
    WrittenScalar,
    /// A table function in a statement that writes.
    WrittenTable,
    /// A table function whose hidden columns are compared in other ways.
    Filtered,
}

words! {
    Function: [
        "anomaly_classify",
        "anomaly_label",
        "anomaly_score",
        "anomaly_score_all",
        "anomaly_init",
        "anomaly_acknowledge",
        "anomaly_config",
        "anomaly_reset",
        "anomaly_version",
        "anomaly_score_pending",
        "anomaly_scores",
        "anomaly_classify_each",
        "anomaly_detections",
        "anomaly_status",
    ];
    /// What matters as an argument.
    Word: [
        "model",
        "onnx_file",
        "device",
        "batch",
        "threshold",
        "tenant_id",
        "busy_timeout_ms",
        "cache_entries",
        "allowed_model_dirs",
        "allowed_model_sha256",
        "bundled",
        "a/b@main",
        "model.onnx",
        "cpu",
        "cuda:1",
        "0.5",
        "it failed",
        "ok",
        "slow",
        "nan",
        "infinite",
        "explode",
        "[\"ok\", null, 7, \"nan\"]",
        "ERROR",
        "anomaly",
        "é\u{0}\u{1f980}",
        "%s%n",
        "'\"`]",
    ];
}

/// An argument: anything, or one of the words that matter.
#[derive(Arbitrary, Clone, Debug)]
enum Argument {
    Any(Value),
    Small(i8),
    Word(Word),
    Long(u16),
}

impl From<&Argument> for Value {
    fn from(argument: &Argument) -> Self {
        match argument {
            Argument::Any(value) => value.clone(),
            Argument::Small(number) => Self::Integer((*number).into()),
            Argument::Word(word) => word.0.into(),
            Argument::Long(count) => "failed ".repeat((*count).into()).as_str().into(),
        }
    }
}

const MOST_STEPS: usize = 16;
const MOST_ARGUMENTS: usize = 6;

/// What compares hidden columns, one for each number of arguments.
const FILTERS: [&str; MOST_ARGUMENTS + 1] = [
    "1",
    "text = ?",
    "json_array = ?",
    "max_rows IN (?, 1)",
    "batch_size IS ?",
    "min_score >= ?",
    "text LIKE ?",
];

fuzz_target!(|session: Session| {
    let host = promise::host(session.encoding);
    if let Some(folder) = folder(session.model) {
        done(host.query("SELECT anomaly_config('model', ?)", &[test_model(folder)]), "no model");
    }
    done(host.query("SELECT anomaly_init()", &[]), "anomaly_init() fails");
    done(host.query("CREATE TABLE noted (a, b, c, d, e, f, g, h, i, j, k, l, m, n)", &[]), "no table");
    for step in session.steps.iter().take(MOST_STEPS) {
        take(&host, step);
    }
    if !host.is_autocommit() {
        done(host.query("COMMIT", &[]), "the host cannot commit");
    }
    let sound = done(host.query("PRAGMA integrity_check", &[]), "the database cannot be checked");
    hold(sound == [["ok".into()]], format_args!("the database is damaged: {sound:?}"));
    promise::alive(&host);
});

fn folder(model: Model) -> Option<&'static str> {
    Some(match model {
        Model::None => return None,
        Model::Levels => "levels",
        Model::AllNan => "all-nan",
        Model::External => "external",
        Model::Narrow => "narrow",
        Model::NoMask => "no-mask",
        Model::TooWide => "too-wide",
    })
}

fn take(host: &Host, step: &Step) {
    // What the host itself does wrong is its own affair.
    match step {
        Step::Call(call) => make(host, call),
        Step::Insert { id, text, tenant_id, ingest_time } => {
            let values = [id, text, tenant_id, ingest_time].map(Value::from);
            let sql = "INSERT INTO log_entries (id, text, tenant_id, ingest_time) VALUES (?, ?, ?, ?)";
            let _ = host.query(sql, &values);
        }
        Step::Begin => drop(host.query("BEGIN", &[])),
        Step::Commit => drop(host.query("COMMIT", &[])),
        Step::RollBack => drop(host.query("ROLLBACK", &[])),
    }
}

fn make(host: &Host, call: &Call) {
    let before = host.is_autocommit();
    let values: Vec<Value> = call.arguments.iter().take(MOST_ARGUMENTS).map(Value::from).collect();
    let limit = if matches!(call.place, Place::Abandoned) { 1 } else { usize::MAX };
    let rows = promise::answer(host.first_rows(&statement(call, values.len()), &values, limit));
    hold(host.is_autocommit() == before, "a call began or ended the host's transaction");
    match (call.place, rows) {
        (Place::Scalar, Some(rows)) => match rows.as_slice() {
            [row] => row.iter().for_each(|value| check_value(call.function, value)),
            rows => broken(format_args!("a scalar gave {rows:?}")),
        },
        (Place::Table | Place::Abandoned, Some(rows)) => check_rows(call.function, &rows),
        _ => {}
    }
}

fn statement(call: &Call, count: usize) -> String {
    let name = call.function.0;
    let marks = vec!["?"; count].join(", ");
    match call.place {
        Place::Scalar => format!("SELECT {name}({marks})"),
        Place::Table | Place::Abandoned => format!("SELECT * FROM {name}({marks})"),
        Place::Joined => {
            let columns: Vec<_> = (1..=count).map(|index| format!("column{index}")).collect();
            let values = if count == 0 { "NULL" } else { &marks };
            let columns = columns.join(", ");
            format!(
                "SELECT * FROM (VALUES ({values})) AS given JOIN {name}({columns}) LEFT JOIN {name}({columns})"
            )
        }
        Place::WrittenScalar => format!("INSERT INTO noted (a) SELECT {name}({marks})"),
        Place::WrittenTable => format!("INSERT INTO noted (a) SELECT count(*) FROM {name}({marks})"),
        Place::Filtered => format!("SELECT * FROM {name} WHERE {} ORDER BY 1 DESC", FILTERS[count]),
    }
}

fn check_value(Function(name): Function, value: &Value) {
    let is_promised = match name {
        "anomaly_classify" | "anomaly_label" => matches!(value, Value::Null | Value::Text(_)),
        "anomaly_score" => matches!(value, Value::Null | Value::Real(0.0..=1.0)),
        "anomaly_score_all" => return promise::totals(value),
        "anomaly_init" => return hold(promise::changes(value) == 0, "anomaly_init() finds more to do"),
        "anomaly_acknowledge" => matches!(value, Value::Integer(0 | 1)),
        "anomaly_reset" => *value == Value::Null,
        "anomaly_version" => matches!(value, Value::Text(_)),
        _ => true,
    };
    hold(is_promised, format_args!("{name} gave {value:?}"));
}

fn check_rows(Function(name): Function, rows: &[Row]) {
    for row in rows {
        match (name, row.as_slice()) {
            ("anomaly_score_pending", row) => promise::report(row),
            ("anomaly_scores", row) => promise::label(row),
            ("anomaly_classify_each", [Value::Integer(0..), described @ ..]) => promise::label(described),
            ("anomaly_detections", row) if row.len() == 14 => {}
            ("anomaly_status", [Value::Text(_), _]) => {}
            _ => broken(format_args!("{name} gave the row {row:?}")),
        }
    }
    hold(name != "anomaly_score_pending" || !rows.is_empty(), "anomaly_score_pending gave no row");
}
