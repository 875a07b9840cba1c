//! `anomaly_score_pending`.

use std::sync::Arc;

use crate::connection::Connection;
use crate::db::Database;
use crate::error::Result;
use crate::scoring::{Report, Run};
use crate::sqlite::{Arguments, Rows, TableFunction};
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
    type Rows = Batches;

    fn open(&self, _: &Database, mut arguments: Arguments) -> Result<Batches> {
        let connection = Arc::clone(&self.0);
        let mut settings = connection.settings();
        for (index, key) in ["batch", "threshold"].into_iter().enumerate() {
            if let Some(value) = arguments.take(index).into_text() {
                let set = settings.set(key, &value);
                connection
                    .note(set.map_err(|error| error.context("anomaly_score_pending(batch, threshold)")))?;
            }
        }
        Ok(Batches { run: Run::new(Arc::clone(&connection), settings), connection })
    }
}

impl Rows for Batches {
    fn next(&mut self, database: &Database) -> Result<Option<Vec<Value>>> {
        let outcome = self.run.next(database).map_err(|error| error.context("anomaly_score_pending"));
        Ok(self.connection.note(outcome)?.map(row))
    }
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
