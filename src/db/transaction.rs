//! All or nothing, whatever transaction the host is in.

use std::time::Duration;

use rusqlite::Statement;

use super::Database;
use super::busy::Patience;
use crate::error::{Error, Kind, Result};

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
/// What ends it is prepared before it begins: the host's authorizer may allow a savepoint and refuse what ends one, which
/// must be found out while nothing is open. `undo` is a statement that writes nothing: on an interrupted connection
/// SQLite refuses to run `ROLLBACK`, but an interrupted write ends the transaction
/// (<https://www.sqlite.org/c3ref/interrupt.html>). `work` makes no index, for then all prepared statements expire.
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

fn attempt<'d, T>(
    database: &'d Database,
    patience: &mut Patience,
    undo: Option<&'d str>,
    work: &mut impl FnMut(&Database) -> Result<T>,
) -> Result<T> {
    let savepoint = match Savepoint::open(database, undo) {
        Err(error) if is_refused(&error) => return work(database),
        opened => opened?,
    };
    // The extended code of a failure is lost with the next statement, and undoing takes some.
    let value = work(database).map_err(|error| database.refine(error))?;
    savepoint.commit(patience)?;
    Ok(value)
}

/// Whether no savepoint can be opened now, for a statement that writes is running.
fn is_refused(error: &Error) -> bool {
    error.to_string().contains("SQL statements in progress")
}

/// An authorizer can have a savepoint neither be opened nor released, and no error be told of that
/// (<https://www.sqlite.org/c3ref/set_authorizer.html>).
fn ignored() -> Error {
    Error::new(
        Kind::Database(rusqlite::ffi::SQLITE_AUTH),
        "the authorizer of this connection ignores savepoints: it must let sqlite-anomaly open and release them",
    )
}

/// An open savepoint; undone unless it is committed.
struct Savepoint<'d> {
    database: &'d Database,
    release: Statement<'d>,
    rollback: Statement<'d>,
    undo: Option<Statement<'d>>,
    /// Whether its release commits.
    outermost: bool,
    open: bool,
}

impl<'d> Savepoint<'d> {
    fn open(database: &'d Database, undo: Option<&'d str>) -> Result<Self> {
        let outermost = database.is_autocommit();
        let prepare = |sql| database.connection.prepare(sql);
        let release = prepare("RELEASE sqlite_anomaly")?;
        // To release the outermost is to commit, which readers can refuse; they cannot refuse a rollback.
        let rollback = prepare(if outermost { "ROLLBACK" } else { "ROLLBACK TO sqlite_anomaly" })?;
        let undo = undo.map(prepare).transpose()?;
        let mut savepoint = Self { database, release, rollback, undo, outermost, open: true };
        // A progress handler can end it after it has had its effect, and a transaction is open then; an inner savepoint
        // that is left holds nothing.
        let begun = database.execute("SAVEPOINT sqlite_anomaly");
        savepoint.open = begun.as_ref().map_or_else(|error| outermost && !is_refused(error), |()| true);
        begun?;
        if outermost && database.is_autocommit() { Err(ignored()) } else { Ok(savepoint) }
    }

    /// Releases it. A commit that meets readers is tried again as it is: it keeps new readers out until the old ones
    /// have left.
    fn commit(mut self, patience: &mut Patience) -> Result<()> {
        let database = self.database;
        let released = patience.until_unlocked(database, || database.write(&mut self.release, []).map(drop));
        let is_left = self.outermost && !database.is_autocommit();
        self.open = released.is_err() || is_left;
        match released {
            Ok(()) if is_left => Err(ignored()),
            // A progress handler can stop it after it has had its effect. Whoever wants all to end says so of the next
            // statement too; but what was committed must count.
            Err(error) if error.kind() == Kind::Interrupted && self.outermost && database.is_autocommit() => {
                Ok(())
            }
            released => released,
        }
    }
}

impl Savepoint<'_> {
    fn roll_back(&mut self) -> Result<()> {
        let mut undone = self.database.write(&mut self.rollback, []);
        if !self.outermost {
            undone = undone.and(self.database.write(&mut self.release, []));
        }
        undone.map(drop)
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        let database = self.database;
        // SQLite may have ended the whole transaction already (disk full, out of memory, an interrupted write).
        let is_left = || !database.is_autocommit();
        if !self.open || !is_left() {
            return;
        }
        if self.roll_back().is_ok() || !is_left() {
            return;
        }
        if let Some(undo) = &mut self.undo {
            let _ = database.write(undo, []);
        }
        // It may have been refused by a progress handler that says no but once.
        if is_left() {
            let _ = self.roll_back();
        }
    }
}
