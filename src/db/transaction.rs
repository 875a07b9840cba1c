//! All or nothing, whatever transaction the host is in.

use std::time::Duration;

use rusqlite::Statement;

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
///
/// `undo` is a statement that writes nothing, prepared while that is still possible: on an interrupted connection
/// SQLite refuses to prepare or to run `ROLLBACK`, but an interrupted write ends the transaction
/// (<https://www.sqlite.org/c3ref/interrupt.html>).
pub(super) fn atomically<T>(
    database: &Database,
    timeout: Duration,
    undo: Option<&str>,
    mut work: impl FnMut(&Database) -> Result<T>,
) -> Result<T> {
    let mut patience = Patience::new(timeout);
    loop {
        match attempt(database, &mut patience, undo, &mut work) {
            Ok(value) => return Ok(value),
            Err(error) => patience.wait(database, error)?,
        }
    }
}

fn attempt<T>(
    database: &Database,
    patience: &mut Patience,
    undo: Option<&str>,
    work: &mut impl FnMut(&Database) -> Result<T>,
) -> Result<T> {
    let savepoint = match Savepoint::open(database, undo) {
        Err(error) if error.to_string().contains("SQL statements in progress") => return work(database),
        opened => opened?,
    };
    // The extended code of a failure is lost with the next statement, and undoing takes some.
    let value = work(database).map_err(|error| database.refine(error))?;
    savepoint.commit(patience)?;
    Ok(value)
}

/// An open savepoint; undone unless it is committed.
struct Savepoint<'d> {
    database: &'d Database,
    undo: Option<Statement<'d>>,
    /// Whether its release commits.
    outermost: bool,
    open: bool,
}

impl<'d> Savepoint<'d> {
    fn open(database: &'d Database, undo: Option<&str>) -> Result<Self> {
        let outermost = database.is_autocommit();
        let undo = undo.map(|sql| database.connection.prepare(sql)).transpose()?;
        database.execute("SAVEPOINT sqlite_anomaly")?;
        Ok(Self { database, undo, outermost, open: true })
    }

    /// Releases it. A commit that meets readers is tried again as it is: it keeps new readers out until the old ones
    /// have left.
    fn commit(mut self, patience: &mut Patience) -> Result<()> {
        let database = self.database;
        let released = patience.until_unlocked(database, || database.execute("RELEASE sqlite_anomaly"));
        self.open = released.is_err();
        released
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        // SQLite may have ended the whole transaction already (disk full, out of memory, an interrupted write).
        let is_left = || !self.database.is_autocommit();
        if !self.open || !is_left() {
            return;
        }
        // To release the outermost is to commit, which readers can refuse; they cannot refuse a rollback.
        let undone = if self.outermost {
            self.database.execute("ROLLBACK")
        } else {
            let undone = self.database.execute("ROLLBACK TO sqlite_anomaly");
            undone.and(self.database.execute("RELEASE sqlite_anomaly"))
        };
        if undone.is_err()
            && is_left()
            && let Some(undo) = &mut self.undo
        {
            let _ = self.database.write(undo, []);
        }
    }
}
