//! The table `anomaly_runs`: which model said what the entries say, with which threshold, and what the run came to.
//!
//! A database without it, such as the seed's, is scored all the same.

use std::time::Duration;

use rusqlite::params;

use super::detections::Written;
use super::{Database, atomically, cell, identifier, now, schema};
use crate::error::{Error, Result};
use crate::value::Value;

/// The columns that are listed, in the order of the schema.
pub const COLUMNS: &[&str] = &[
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
];

/// The record of a run that is over is worth a moment, not the whole of the user's patience.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);

/// One run, by what does not change while it goes on.
#[derive(Debug)]
pub struct Record {
    id: String,
    started: String,
    tenant_id: String,
    model: String,
    threshold: f64,
    /// How long a record that is written on its own waits for locks.
    patience: Duration,
    /// Known when there is something to score: to hash a model takes time.
    origin: Option<Origin>,
}

/// Which files a model is made of.
#[derive(Debug)]
pub struct Origin {
    /// The commit of a model of the Hugging Face hub.
    pub revision: Option<String>,
    /// The SHA-256 of the graph's file, and of the weights beside it.
    pub sha256: Option<String>,
}

impl Record {
    /// A run that begins now, with the model as the user named it; `None` in a database that keeps no record.
    pub fn begin(
        database: &Database,
        tenant_id: &str,
        model: &str,
        threshold: f64,
        timeout: Duration,
    ) -> Result<Option<Self>> {
        Ok(schema::has_runs(database)?.then(|| Self {
            id: identifier(),
            started: now(),
            tenant_id: tenant_id.to_owned(),
            model: model.to_owned(),
            threshold,
            patience: timeout.min(LONGEST_PATIENCE),
            origin: None,
        }))
    }

    /// Notes, once, what the model's name stands for.
    pub fn describe(&mut self, origin: impl FnOnce() -> Origin) {
        self.origin.get_or_insert_with(origin);
    }

    /// Adds to the row what was `written` since it was last; the first time inserts it. `finished` says that nothing more
    /// will come.
    ///
    /// What the host rolls back between two batches is taken from the sums with the batches themselves.
    pub(super) fn write(
        &self,
        database: &Database,
        written: Written,
        remaining: Option<usize>,
        finished: bool,
        error: Option<&str>,
    ) -> Result<()> {
        let mut upsert = database.connection.prepare(
            "INSERT INTO anomaly_runs (id, tenant_id, model, revision, sha256, threshold, started, finished, scored,
                                       detections, failed, remaining, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET
                 finished = excluded.finished, scored = scored + excluded.scored,
                 detections = detections + excluded.detections, failed = failed + excluded.failed,
                 remaining = excluded.remaining, error = excluded.error",
        )?;
        let origin = self.origin.as_ref();
        let parameters = params![
            self.id,
            self.tenant_id,
            self.model,
            origin.and_then(|origin| origin.revision.as_deref()),
            origin.and_then(|origin| origin.sha256.as_deref()),
            self.threshold,
            self.started,
            finished.then(now),
            written.scored as i64,
            written.detections as i64,
            written.failed as i64,
            remaining.map(|count| count as i64),
            error,
        ];
        database.write(&mut upsert, parameters).map(drop)
    }

    /// Writes the row of a run whose end was seen after its last batch.
    ///
    /// Inside the host's transaction it is a write like any other. Outside one it is worth a moment, but no failure of
    /// a run that has done all it was to do.
    pub fn conclude(&self, database: &Database, error: Option<&str>) -> Result<()> {
        let is_ours = database.is_autocommit();
        let outcome = self.end(database, Some(0), error);
        if is_ours { Ok(()) } else { outcome }
    }

    /// Writes the row of a run that failed, where that can be done within a moment. Why it failed is told to the caller
    /// in any case, who decides on a transaction of his own.
    pub fn fail(&self, database: &Database, remaining: Option<usize>, error: &Error) {
        if database.is_autocommit() {
            let _ = self.end(database, remaining, Some(&error.to_string()));
        }
    }

    fn end(&self, database: &Database, remaining: Option<usize>, error: Option<&str>) -> Result<()> {
        let undo = "UPDATE anomaly_runs SET finished = NULL WHERE 0";
        atomically(database, self.patience, Some(undo), |database| {
            self.write(database, Written::default(), remaining, true, error)
        })
    }
}

/// The last `count` runs of all tenants, newest first; each row has the values of [`COLUMNS`].
pub fn last(database: &Database, count: usize) -> Result<Vec<Vec<Value>>> {
    let sql = format!("SELECT {} FROM anomaly_runs ORDER BY started DESC LIMIT {count}", COLUMNS.join(", "));
    let mut statement = database.connection.prepare(&sql)?;
    let rows = statement.query_and_then([], |row| cell::values(row, COLUMNS.len()))?;
    rows.collect()
}
