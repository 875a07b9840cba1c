//! `anomaly_score_pending` and `anomaly_score_all`.

use std::sync::Arc;

use serde_json::json;

use crate::config::Settings;
use crate::connection::Connection;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::scoring::{Report, Run};
use crate::sqlite::{Arguments, Passed, Rows, TableFunction};
use crate::value::Value;

/// `anomaly_score_pending([batch [, threshold]])`: scores all pending entries, one row a batch as it is committed.
pub struct ScorePending(pub Arc<Connection>);

/// A run that goes on as it is read.
pub struct Batches {
    connection: Arc<Connection>,
    run: Run,
}

impl TableFunction for ScorePending {
    const NAME: &'static str = "anomaly_score_pending";
    const COLUMNS: &'static [&'static str] =
        &["batch", "scored", "detections", "failed", "skipped", "remaining", "elapsed_ms", "error"];
    const ARGUMENTS: &'static [&'static str] = &["batch_size", "min_score"];
    const DIRECT_ONLY: bool = true;
    type Rows<'db> = Batches;

    fn open(&self, _: &Database, arguments: Arguments<'_>) -> Result<Batches> {
        let connection = Arc::clone(&self.0);
        let settings = settings(&connection, [0, 1].map(|index| arguments.get(index)));
        let settings = connection.note(settings.map_err(|error| error.context(Self::NAME)))?;
        Ok(Batches { run: Run::new(settings), connection })
    }
}

impl Rows for Batches {
    fn next(&mut self, database: &Database, _: Arguments<'_>) -> Result<Option<Vec<Value>>> {
        let outcome = self.run.next(&self.connection, database);
        let outcome = outcome.map_err(|error| error.context(ScorePending::NAME));
        Ok(self.connection.note(outcome)?.map(row))
    }
}

/// `anomaly_score_all([batch [, threshold]])`: the same in one call that reads no table, so that other connections
/// can write between the batches; gives the totals as JSON.
pub fn score_all(connection: &Connection, database: &Database, arguments: Passed<'_>) -> Result<Value> {
    let totals = (|| {
        let mut run = Run::new(settings(connection, &arguments.all()?)?);
        let mut totals = Report::default();
        while let Some(report) = run.next(connection, database)? {
            totals.add(report);
        }
        // What this run has not read, other scorers have.
        totals.remaining = if totals.ended_early { totals.remaining } else { 0 };
        Ok(totals)
    })();
    let totals = totals.map_err(|error: Error| error.context("anomaly_score_all"))?;
    Ok(json!({
        "batches": totals.batch,
        "scored": totals.written.scored,
        "detections": totals.written.detections,
        "failed": totals.written.failed,
        "skipped": totals.skipped,
        "remaining": totals.remaining,
        "elapsed_ms": totals.elapsed_ms,
        "error": totals.error,
    })
    .to_string()
    .into())
}

/// The settings of the connection, with the batch size and the threshold of a call where they are given.
fn settings<'a>(connection: &Connection, arguments: impl IntoIterator<Item = &'a Value>) -> Result<Settings> {
    let mut settings = connection.settings();
    for (key, value) in ["batch", "threshold"].into_iter().zip(arguments) {
        if let Some(value) = value.as_bound().text() {
            settings.set(key, &value)?;
        }
    }
    Ok(settings)
}

fn row(report: Report) -> Vec<Value> {
    vec![
        report.batch.into(),
        report.written.scored.into(),
        report.written.detections.into(),
        report.written.failed.into(),
        report.skipped.into(),
        report.remaining.into(),
        Value::Integer(report.elapsed_ms as i64),
        report.error.into(),
    ]
}
