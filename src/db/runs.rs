//! The table `anomaly_runs`: which model said what the entries say, with which threshold, and what the run came to.
//!
//! A database without it, such as the seed's, is scored all the same.

use std::time::Duration;

use rusqlite::params;
use uuid::Uuid;

use super::cell::Cell;
use super::detections::Written;
use super::{Database, atomically, now, schema};
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

/// One run, by what does not change while it goes on.
#[derive(Debug)]
pub struct Record {
    id: String,
    started: String,
    /// The tenant whose rows are scored.
    pub tenant_id: String,
    /// The model as the user named it.
    pub model: String,
    /// The commit of a model of the Hugging Face hub.
    pub revision: Option<String>,
    /// The SHA-256 of the graph's file.
    pub sha256: Option<String>,
    /// The lowest score that makes a detection.
    pub threshold: f64,
}

impl Record {
    /// A run that begins now; `None` in a database that keeps no record.
    pub fn begin(database: &Database, tenant_id: &str, model: &str, threshold: f64) -> Option<Self> {
        schema::has_runs(database).unwrap_or(false).then(|| Self {
            id: Uuid::new_v4().to_string(),
            started: now(),
            tenant_id: tenant_id.to_owned(),
            model: model.to_owned(),
            revision: None,
            sha256: None,
            threshold,
        })
    }

    /// Writes the row, over the one that an earlier batch wrote. `finished` says that nothing more will come.
    pub(super) fn write(
        &self,
        database: &Database,
        written: Written,
        remaining: usize,
        finished: bool,
        error: Option<&Error>,
    ) -> Result<()> {
        let mut upsert = database.connection.prepare(
            "INSERT INTO anomaly_runs (id, tenant_id, model, revision, sha256, threshold, started, finished, scored,
                                       detections, failed, remaining, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET
                 finished = excluded.finished, scored = excluded.scored, detections = excluded.detections,
                 failed = excluded.failed, remaining = excluded.remaining, error = excluded.error",
        )?;
        let parameters = params![
            self.id,
            self.tenant_id,
            self.model,
            self.revision,
            self.sha256,
            self.threshold,
            self.started,
            finished.then(now),
            written.scored as i64,
            written.detections as i64,
            written.failed as i64,
            remaining as i64,
            error.map(Error::to_string),
        ];
        database.write(&mut upsert, parameters).map(drop)
    }

    /// Writes the row of a run that ended outside a batch, where that is possible at once: what the run did, or why
    /// it failed, is told to the caller in any case.
    pub fn conclude(&self, database: &Database, written: Written, remaining: usize, error: Option<&Error>) {
        let undo = "UPDATE anomaly_runs SET finished = NULL WHERE 0";
        let _ = atomically(database, Duration::ZERO, Some(undo), |database| {
            self.write(database, written, remaining, true, error)
        });
    }
}

/// The last `count` runs of all tenants, newest first; each row has the values of [`COLUMNS`].
pub fn last(database: &Database, count: usize) -> Result<Vec<Vec<Value>>> {
    let sql = format!("SELECT {} FROM anomaly_runs ORDER BY started DESC LIMIT {count}", COLUMNS.join(", "));
    let mut statement = database.connection.prepare(&sql)?;
    let rows = statement.query_map([], |row| {
        (0..COLUMNS.len()).map(|index| Ok(row.get::<_, Cell>(index)?.into())).collect()
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
