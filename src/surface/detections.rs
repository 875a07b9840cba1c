//! `anomaly_detections` and `anomaly_acknowledge`.

use std::borrow::Cow;
use std::sync::Arc;

use super::Ready;
use crate::connection::Connection;
use crate::db::Database;
use crate::db::detections::{self, Filter};
use crate::error::{Error, Result, abridged};
use crate::sqlite::{Arguments, TableFunction};
use crate::value::Value;

/// How many detections are listed where no limit is given, as in the seed.
const DEFAULT_LIMIT: i64 = 100;

/// `anomaly_detections([limit [, unacked_only [, label [, scorer]]]])`: detections, newest first.
pub struct Detections(pub Arc<Connection>);

impl TableFunction for Detections {
    const NAME: &'static str = "anomaly_detections";
    const COLUMNS: &'static [&'static str] = detections::COLUMNS;
    const ARGUMENTS: &'static [&'static str] = &["max_rows", "unacked_only", "with_label", "by_scorer"];
    type Rows = Ready;

    fn open(&self, database: &Database, arguments: Arguments<'_>) -> Result<Ready> {
        let connection = &*self.0;
        let text = |index| arguments.get(index).text().filter(|text| !text.is_empty()).map(Cow::into_owned);
        connection.note((|| {
            let filter = Filter {
                tenant_id: connection.settings().tenant_id,
                limit: limit(arguments.get(0))?,
                unacknowledged: flag(arguments.get(1))?,
                label: text(2),
                scorer: text(3),
            };
            let rows = detections::list(database, &filter);
            Ok(Ready::new(rows.map_err(|error| error.context(Self::NAME))?))
        })())
    }
}

fn limit(value: &Value) -> Result<i64> {
    match *value.as_bound() {
        Value::Null => Ok(DEFAULT_LIMIT),
        Value::Integer(limit @ 0..) => Ok(limit),
        _ => Err(unusable("max_rows", value, "a whole number from 0 up")),
    }
}

fn flag(value: &Value) -> Result<bool> {
    match *value.as_bound() {
        Value::Null | Value::Integer(0) => Ok(false),
        Value::Integer(1) => Ok(true),
        _ => Err(unusable("unacked_only", value, "0 or 1")),
    }
}

fn unusable(what: &str, value: &Value, allowed: &str) -> Error {
    let value = value.text().unwrap_or_default();
    let value = abridged(&value);
    Error::argument(format!("anomaly_detections: {what} cannot be '{value}': allowed is {allowed}"))
}

/// `anomaly_acknowledge(id [, notes])`: 1 if a detection was acknowledged, else 0.
pub fn acknowledge(connection: &Connection, database: &Database, arguments: Vec<Value>) -> Result<Value> {
    let mut arguments = arguments.into_iter();
    let mut text = || arguments.next().and_then(Value::into_text);
    let Some(id) = text() else { return Ok(false.into()) };
    let notes = text().unwrap_or_default();
    let settings = connection.settings();
    let timeout = settings.busy_timeout();
    let done = detections::acknowledge(database, &settings.tenant_id, timeout, &id, &notes);
    Ok(done.map_err(|error| error.context("anomaly_acknowledge"))?.into())
}
