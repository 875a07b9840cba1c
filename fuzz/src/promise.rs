//! What holds whatever comes in.

use std::fmt::Display;
use std::process;

use crate::folder::test_model;
use crate::{Encoding, Failure, Host, Row, Value};

/// Ends the process with the promise that was broken: the extension's hook keeps a panic's words off stderr.
pub fn broken(what: impl Display) -> ! {
    eprintln!("a promise was broken: {what}");
    process::abort()
}

/// Ends the process unless this holds.
pub fn hold(holds: bool, what: impl Display) {
    if !holds {
        broken(what);
    }
}

/// Ends the process unless this could be done.
pub fn done<T>(outcome: Result<T, Failure>, what: impl Display) -> T {
    outcome.unwrap_or_else(|failure| broken(format_args!("{what}: {failure}")))
}

/// Opens a host that runs the model on one thread, so that the same input does the same again.
pub fn host(encoding: Encoding) -> Host {
    let host = done(Host::open(encoding), "a connection cannot load the extension");
    done(host.query("SELECT anomaly_config('threads', 1)", &[]), "the number of threads cannot be set");
    host
}

/// An error says what is wrong: nothing is as unhelpful as what SQLite says where nobody said anything.
pub fn helpful(failure: &Failure) {
    const WITHOUT_WORDS: &[&str] = &["", "SQL logic error", "not an error", "unknown error"];
    const MEMORY: i32 = 7;
    const MISUSE: i32 = 21;
    const INTERNAL: i32 = 2;
    const LONGEST: usize = 4000;
    let Failure { code, text } = failure;
    hold(!WITHOUT_WORDS.contains(&text.as_str()), format_args!("an error without words: {failure}"));
    hold(!text.contains("a defect in sqlite-anomaly"), failure);
    hold(![INTERNAL, MEMORY, MISUSE].contains(&(code & 0xff)), failure);
    let length = text.chars().count();
    hold(length <= LONGEST, format_args!("an error of {length} characters: {failure}"));
}

/// The rows, or none where there is an error, which is a helpful one.
pub fn answer(outcome: Result<Vec<Row>, Failure>) -> Option<Vec<Row>> {
    outcome.inspect_err(helpful).ok()
}

/// Afterwards the connection has no transaction open and classifies as ever.
pub fn alive(host: &Host) {
    thread_local! {
        /// Keeps the model in the process.
        static WARM: Host = warm();
    }
    WARM.with(|_| ());
    hold(host.is_autocommit(), "a transaction was left open");
    classifies(host);
}

fn warm() -> Host {
    let host = host(Encoding::Utf8);
    classifies(&host);
    host
}

fn classifies(host: &Host) {
    let one = done(host.query("SELECT 1", &[]), "the connection is of no use any more");
    hold(one == [[Value::Integer(1)]], format_args!("SELECT 1 gave {one:?}"));
    done(
        host.query("SELECT anomaly_config('model', ?)", &[test_model("levels")]),
        "a good model cannot be configured any more",
    );
    let label =
        done(host.query("SELECT anomaly_label('it failed')", &[]), "a good model cannot be used any more");
    hold(label == [[Value::from("ERROR")]], format_args!("'it failed' is {label:?}"));
}

/// A label's columns: its name, its score, its severity, whether it is anomalous.
pub fn label(columns: &[Value]) {
    let is_label = match columns {
        [Value::Text(_), Value::Real(score), Value::Text(severity), Value::Integer(0 | 1)] => {
            score.is_finite() && !severity.is_empty()
        }
        [Value::Null, Value::Null, Value::Null, Value::Null] => true,
        _ => false,
    };
    hold(is_label, format_args!("no label is described by {columns:?}"));
}

/// What a batch comes to, as columns.
pub fn report(columns: &[Value]) {
    let [counts @ .., error] = columns else { broken("a report without columns") };
    let is_count = |value: &Value| matches!(value, Value::Integer(0..));
    let is_report =
        counts.len() == 7 && counts.iter().all(is_count) && matches!(error, Value::Null | Value::Text(_));
    hold(is_report, format_args!("no batch is reported by {columns:?}"));
}

/// What a run comes to, as JSON.
pub fn totals(value: &Value) {
    const COUNTS: &[&str] = &["batches", "scored", "detections", "failed", "remaining", "elapsed_ms"];
    let totals: Option<serde_json::Value> = value.as_text().and_then(|text| serde_json::from_str(text).ok());
    let is_totals = totals.as_ref().is_some_and(|totals| {
        COUNTS.iter().all(|count| totals.get(count).is_some_and(serde_json::Value::is_u64))
            && totals.get("error").is_some_and(|error| error.is_null() || error.is_string())
            && totals.get("skipped").is_some_and(serde_json::Value::is_boolean)
            && totals.as_object().is_some_and(|members| members.len() == COUNTS.len() + 2)
    });
    hold(is_totals, format_args!("no run is summed up by {value:?}"));
}

/// A JSON list of what anomaly_init() changed; gives its length.
pub fn changes(value: &Value) -> usize {
    let changes: Option<Vec<String>> = value.as_text().and_then(|text| serde_json::from_str(text).ok());
    changes.unwrap_or_else(|| broken(format_args!("no list of changes: {value:?}"))).len()
}
