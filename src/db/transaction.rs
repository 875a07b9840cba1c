//! All or nothing, whatever transaction the host is in.

use std::time::Duration;

use super::Database;
use super::busy::Patience;
use crate::error::Result;

/// Runs `work` so that it happens as a whole or not at all, waiting for locks up to `timeout`.
///
/// - In autocommit mode an outermost savepoint is a transaction: its release commits
///   (<https://www.sqlite.org/lang_savepoint.html>).
/// - Inside the host's transaction it is a part of that: the host's `ROLLBACK` undoes it.
/// - Inside a writing statement (`INSERT … SELECT … FROM anomaly_score_pending()`) SQLite refuses a savepoint, and
///   `work` runs without one; the host's statement is then what is undone or kept.
///
/// `work` may run more than once, each time after all traces of the time before were undone.
pub fn atomically<T>(
    database: &Database,
    timeout: Duration,
    mut work: impl FnMut(&Database) -> Result<T>,
) -> Result<T> {
    let mut patience = Patience::new(timeout);
    loop {
        match attempt(database, &mut patience, &mut work) {
            Ok(value) => return Ok(value),
            Err(error) => patience.wait(database, error)?,
        }
    }
}

fn attempt<T>(
    database: &Database,
    patience: &mut Patience,
    work: &mut impl FnMut(&Database) -> Result<T>,
) -> Result<T> {
    match database.execute("SAVEPOINT sqlite_anomaly") {
        Err(error) if error.to_string().contains("SQL statements in progress") => return work(database),
        opened => opened?,
    }
    let outcome = work(database).and_then(|value| {
        // A commit that meets readers is tried again as it is: it keeps new ones out until the old ones have left.
        patience.until_unlocked(database, || database.execute("RELEASE sqlite_anomaly"))?;
        Ok(value)
    });
    outcome.map_err(|error| {
        let error = database.refine(error);
        // SQLite may have rolled back all of it already (disk full, out of memory); then there is no savepoint.
        let _ = database.execute("ROLLBACK TO sqlite_anomaly");
        let _ = database.execute("RELEASE sqlite_anomaly");
        error
    })
}
