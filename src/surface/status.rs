//! `anomaly_status`.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Ready;
use crate::connection::Connection;
use crate::db::{Database, detections, entries, runs};
use crate::error::Result;
use crate::model::{Runtime, Shared, available_providers};
use crate::severity::Label;
use crate::sqlite::{Arguments, TableFunction};
use crate::value::Value;

/// `anomaly_status`: what is there and how it fares, as `key, value`.
pub struct Status(pub Arc<Connection>);

impl TableFunction for Status {
    const NAME: &'static str = "anomaly_status";
    const COLUMNS: &'static [&'static str] = &["key", "value"];
    const ARGUMENTS: &'static [&'static str] = &[];
    // What it shows of the machine is not for a schema to copy into its tables.
    const DIRECT_ONLY: bool = true;
    type Rows<'db> = Ready;

    fn open(&self, database: &Database, _: Arguments<'_>) -> Result<Ready> {
        let mut rows = vec![
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("sqlite_version", database.sqlite_version()?.into()),
        ];
        rows.extend(runtime());
        rows.extend(model(&self.0));
        rows.extend(activity(&self.0));
        rows.extend(stored(&self.0, database));
        rows.push(("last_error", self.0.totals().last_error.into()));
        Ok(Ready::new(rows.into_iter().map(|(key, value)| vec![key.into(), value]).collect()))
    }
}

/// How many runs are shown; the table has them all.
const LAST_RUNS: usize = 5;

type Row = (&'static str, Value);

/// The runtime starts with the first use of a model; before that nothing is known of it.
fn runtime() -> [Row; 3] {
    let runtime = Runtime::started();
    let providers = runtime.map(|_| Json::from_iter(available_providers()).to_string());
    [
        ("onnxruntime", runtime.map(Runtime::build_info).into()),
        ("onnxruntime_library", runtime.map(|runtime| runtime.library().display().to_string()).into()),
        ("providers", providers.into()),
    ]
}

fn model(connection: &Connection) -> [Row; 10] {
    let settings = connection.settings();
    let model = connection.model().ok();
    let of = |part: fn(&Shared) -> Value| model.as_ref().map_or(Value::Null, |model| part(model.shared()));
    [
        ("model", settings.model.into()),
        ("model_loaded", of(|model| model.is_loaded().into())),
        ("model_file", of(|model| model.folder().graph().display().to_string().into())),
        ("model_revision", of(|model| model.folder().revision().into())),
        ("model_sha256", of(|model| model.sha256().ok().into())),
        ("labels", of(|model| labels(model, |_| true))),
        // A model without one detects nothing.
        ("anomalous_labels", of(|model| labels(model, |label| label.anomalous))),
        ("device", settings.device.to_string().into()),
        ("provider", of(|model| model.is_loaded().then(|| model.provider()).into())),
        ("threads", settings.threads.into()),
    ]
}

/// The names of labels, as a JSON list.
fn labels(model: &Shared, wanted: fn(&Label) -> bool) -> Value {
    let labels = model.folder().labels().ok();
    let names =
        |labels: Vec<Label>| Json::from_iter(labels.into_iter().filter(wanted).map(|label| label.name));
    labels.map(|labels| names(labels).to_string()).into()
}

fn activity(connection: &Connection) -> [Row; 6] {
    let (hits, misses, held) = connection.memo_counters();
    let totals = connection.totals();
    [
        ("cache_hits", Value::Integer(hits as i64)),
        ("cache_misses", Value::Integer(misses as i64)),
        ("cached_texts", held.into()),
        ("scored", totals.scored.into()),
        ("failed", totals.failed.into()),
        ("inserted_detections", totals.detections.into()),
    ]
}

/// What the tables hold; `NULL` where they are missing or of another kind.
fn stored(connection: &Connection, database: &Database) -> [Row; 3] {
    let tenant_id = connection.settings().tenant_id;
    [
        ("pending_entries", entries::count_pending(database, &tenant_id).ok().into()),
        ("detections", detections::count(database).ok().into()),
        ("last_runs", runs::last(database, LAST_RUNS).ok().map(as_json).into()),
    ]
}

/// Runs as a JSON list of objects, newest first.
fn as_json(rows: Vec<Vec<Value>>) -> String {
    let value = |value| -> Json {
        match value {
            Value::Integer(number) => number.into(),
            Value::Real(number) => number.into(),
            other => other.into_text().into(),
        }
    };
    let object = |row: Vec<Value>| -> Json {
        let columns = runs::COLUMNS.iter().map(|&column| column.to_owned());
        columns.zip(row.into_iter().map(value)).collect()
    };
    Json::from_iter(rows.into_iter().map(object)).to_string()
}
