//! `anomaly_detections` and `anomaly_acknowledge`.

use std::sync::Arc;

use crate::connection::Connection;
use crate::db::Database;
use crate::db::detections::{self, Filter};
use crate::error::{Error, Result, abridged};
use crate::sqlite::{Arguments, Passed, Rows, TableFunction};
use crate::value::{Value, require_room};

/// How many detections are listed where no limit is given, as in the seed.
const DEFAULT_LIMIT: i64 = 100;

/// Detections that are read as they are asked for: a list of all of them takes the memory of one.
pub struct Listing<'db> {
    connection: Arc<Connection>,
    rows: detections::Listing<'db>,
}

/// `anomaly_detections([limit [, unacked_only [, label [, scorer]]]])`: detections, newest first.
pub struct Detections(pub Arc<Connection>);

impl TableFunction for Detections {
    const NAME: &'static str = "anomaly_detections";
    const COLUMNS: &'static [&'static str] = detections::COLUMNS;
    const ARGUMENTS: &'static [&'static str] = &["max_rows", "unacked_only", "with_label", "by_scorer"];
    type Rows<'db> = Listing<'db>;

    fn open<'db>(&self, database: &'db Database, arguments: Arguments<'_>) -> Result<Listing<'db>> {
        let connection = Arc::clone(&self.0);
        let text = |index| -> Result<Option<String>> {
            let text = arguments.get(index).borrowed().head(usize::MAX)?.filter(|text| !text.is_empty());
            // In upper or lower case a text may take thrice the bytes.
            require_room(text.as_ref().map_or(0, |text| text.len().saturating_mul(3)))?;
            Ok(text)
        };
        let rows = (|| {
            let filter = Filter {
                tenant_id: connection.settings().tenant_id,
                limit: limit(arguments.get(0))?,
                unacknowledged: flag(arguments.get(1))?,
                label: text(2)?,
                scorer: text(3)?,
            };
            detections::list(database, &filter).map_err(|error| error.context(Self::NAME))
        })();
        Ok(Listing { rows: connection.note(rows)?, connection })
    }
}

impl Rows for Listing<'_> {
    fn next(&mut self, _: &Database, _: Arguments<'_>) -> Result<Option<Vec<Value>>> {
        let row = self.rows.next_row().map_err(|error| error.context(Detections::NAME));
        self.connection.note(row)
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
pub fn acknowledge(connection: &Connection, database: &Database, arguments: Passed<'_>) -> Result<Value> {
    let Some(id) = arguments.text(0)? else { return Ok(false.into()) };
    let notes = arguments.text(1)?.unwrap_or_default();
    let settings = connection.settings();
    let timeout = settings.busy_timeout();
    let done = detections::acknowledge(database, &settings.tenant_id, timeout, &id, &notes);
    Ok(done.map_err(|error| error.context("anomaly_acknowledge"))?.into())
}
