//! The SQL that the extension itself runs, on the host's connection.
//!
//! Nothing here changes a setting of that connection, and no statement stays open when a function returns, but for that
//! of a listing. Values reach SQL as bound parameters only.

mod busy;
mod cell;
mod conflict;
pub mod detections;
pub mod entries;
pub mod runs;
pub mod schema;
mod transaction;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, Statement, ffi};
use uuid::Uuid;

pub use busy::wait_while_locked;
use transaction::atomically;

use crate::error::{Error, Kind, Result};

/// The host's connection.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    handle: Handle,
}

/// What can be asked of a connection by its handle only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    /// The [extended code](https://www.sqlite.org/c3ref/errcode.html) of its last error.
    ///
    /// Statements give the primary code alone unless the host has asked for extended ones, which is the host's choice.
    pub extended_code: fn(&Connection) -> i32,
    /// The SQL of the statements that are [running](https://www.sqlite.org/c3ref/stmt_busy.html) and not read-only.
    pub running_writes: fn(&Connection) -> Vec<String>,
}

impl Database {
    /// Wraps a connection that does not own its handle.
    pub(crate) fn new(connection: Connection, handle: Handle) -> Self {
        Self { connection, handle }
    }

    fn running_writes(&self) -> Vec<String> {
        (self.handle.running_writes)(&self.connection)
    }

    /// Gives the connection's last error its extended code, and the remedy that only this one tells.
    fn refine(&self, error: Error) -> Error {
        let Kind::Database(primary) = error.kind() else { return error };
        let extended = (self.handle.extended_code)(&self.connection);
        let code = if extended & 0xff == primary { extended } else { primary };
        match code {
            // The code says more than the text, which is that of any file that cannot be written.
            ffi::SQLITE_READONLY_DBMOVED => Error::new(
                Kind::Database(code),
                "the file of the database was moved or deleted: open it where it is now",
            ),
            ffi::SQLITE_READONLY if self.is_query_only() => Error::new(
                Kind::Database(code),
                "attempt to write a readonly database: PRAGMA query_only is on, set it to 0",
            ),
            // A host that asked for extended codes was told already.
            ffi::SQLITE_BUSY_SNAPSHOT if primary == ffi::SQLITE_BUSY => {
                Error::new(Kind::Database(code), format!("{error}: {OLD_SNAPSHOT}"))
            }
            _ => error.with_kind(Kind::Database(code)),
        }
    }

    fn is_query_only(&self) -> bool {
        self.value("PRAGMA query_only", []).unwrap_or(false)
    }

    /// Fails when the host has interrupted the running statement, or its progress handler wants it to end.
    ///
    /// `sqlite3_is_interrupted` came with SQLite 3.41; in all versions an interrupted connection refuses to step any
    /// statement until the interrupted ones have ended. SQLite asks a
    /// [progress handler](https://www.sqlite.org/c3ref/progress_handler.html) every so many instructions of a statement:
    /// this one has more than the thousand that hosts with a time limit are known to allow.
    pub fn check_interrupt(&self) -> Result<()> {
        const LONG: &str = "WITH six(n) AS (VALUES (1), (2), (3), (4), (5), (6))
            SELECT EXISTS (SELECT 1 FROM six AS a, six AS b, six AS c WHERE a.n + b.n + c.n < 0)";
        self.value::<i64>(LONG, []).map(drop)
    }

    /// Whether every statement commits for itself: the host has no transaction open.
    pub fn is_autocommit(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// The version of the host's SQLite.
    pub fn sqlite_version(&self) -> Result<String> {
        self.value("SELECT sqlite_version()", [])
    }

    /// Whether a function of this name can be called without arguments. It is not called.
    pub fn has_function(&self, name: &str) -> bool {
        let has_it = self.connection.prepare(&format!("SELECT {name}()")).is_ok();
        // That there is none must not stay the connection's last error: sqlite3_open() fails with it, where what loads is
        // an automatic extension (https://www.sqlite.org/c3ref/auto_extension.html).
        drop(self.connection.prepare("SELECT 1"));
        has_it
    }

    /// The rows of a pragma about `name`.
    ///
    /// Its table function would say the same, unless the schema has a table or a view called like that one.
    fn pragma<T>(
        &self,
        pragma: &str,
        name: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.connection.pragma(None, pragma, name, |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The only value of a query.
    fn value<T: FromSql>(&self, sql: &str, parameters: impl Params) -> Result<T> {
        Ok(self.connection.query_row(sql, parameters, |row| row.get(0))?)
    }

    /// The only value of a query that counts rows.
    fn count(&self, sql: &str, parameters: impl Params) -> Result<usize> {
        Ok(usize::try_from(self.value::<i64>(sql, parameters)?).unwrap_or(0))
    }

    fn execute(&self, sql: &str) -> Result<()> {
        Ok(self.connection.execute_batch(sql)?)
    }

    /// Runs a writing statement and counts the rows it changed.
    ///
    /// It may give rows of its own where the host has set `PRAGMA count_changes`.
    fn write(&self, statement: &mut Statement<'_>, parameters: impl Params) -> Result<usize> {
        let mut rows = statement.query(parameters)?;
        while rows.next()?.is_some() {}
        Ok(usize::try_from(self.connection.changes()).unwrap_or(usize::MAX))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let error = match error {
            // What reading a value came to.
            rusqlite::Error::FromSqlConversionFailure(_, _, cause) if cause.is::<Self>() => {
                return cause.downcast().map_or_else(Self::defect, |own| *own);
            }
            error => error,
        };
        let text = error.to_string();
        let code = match error.sqlite_error().map_or(ffi::SQLITE_ERROR, |error| error.extended_code) {
            // SQLite reports a function that the authorizer denies, and some interrupts of a statement that is being
            // prepared, with the code of everything and nothing.
            ffi::SQLITE_ERROR if text.starts_with("not authorized") => ffi::SQLITE_AUTH,
            ffi::SQLITE_ERROR if text == "interrupted" => ffi::SQLITE_INTERRUPT,
            code => code,
        };
        match code {
            ffi::SQLITE_INTERRUPT => Self::interrupted(),
            _ => {
                // A trigger's RAISE may say nothing.
                let text = if text.is_empty() { ffi::code_to_str(code).to_owned() } else { text };
                let said = match remedy(code, &text) {
                    Some(remedy) => format!("{text}: {remedy}"),
                    None => text,
                };
                Self::new(Kind::Database(code), said)
            }
        }
    }
}

/// What to do about a refusal whose own text does not say it.
fn remedy(code: i32, text: &str) -> Option<&'static str> {
    Some(match code & 0xff {
        // It was there when the run began.
        ffi::SQLITE_ERROR if schema::is_missing(text) => schema::INIT,
        ffi::SQLITE_ERROR => return remedy_by_text(text),
        ffi::SQLITE_BUSY if code == ffi::SQLITE_BUSY_SNAPSHOT => OLD_SNAPSHOT,
        ffi::SQLITE_SCHEMA => "another program changed the tables meanwhile, run it again",
        ffi::SQLITE_READONLY => "open the file for writing, by a user and in a folder that may write",
        ffi::SQLITE_FULL => "free some space and run it again, nothing is half done",
        ffi::SQLITE_CORRUPT => "PRAGMA integrity_check says what is damaged",
        ffi::SQLITE_NOTADB => "the file was overwritten, or it is encrypted",
        ffi::SQLITE_IOERR => {
            "see whether its disk is still there and sound, and run it again, nothing is half done"
        }
        ffi::SQLITE_CANTOPEN => {
            "see that the file and its folder are still there, and that files may be made beside it"
        }
        ffi::SQLITE_NOMEM => "free some memory, or raise SQLite's heap limit, and run it again",
        ffi::SQLITE_AUTH => {
            "the authorizer of this connection must let sqlite-anomaly read and write its tables, in savepoints"
        }
        ffi::SQLITE_CONSTRAINT => {
            "a constraint, trigger or commit hook that is not of sqlite-anomaly refuses what it writes: change that, or \
             give the column a default"
        }
        ffi::SQLITE_MISMATCH => "an id is a text here: make that column TEXT",
        ffi::SQLITE_TOOBIG => "raise the limits of this connection (sqlite3_limit), or shorten the value",
        _ => return None,
    })
}

/// What to do about an error with the code of everything and nothing, by its words.
fn remedy_by_text(text: &str) -> Option<&'static str> {
    const UNREGISTERED: &str = "a table, index or trigger uses it: register it on this connection first";
    const GENERATED: &str = "sqlite-anomaly writes to it: make it a column that is not generated";
    const CHANGED: &str = "the tables were changed meanwhile, run it again; or a view, trigger or foreign key names what is \
                           not there: mend or drop that";
    const BY_TEXT: &[(&str, &str)] = &[
        ("no such collation sequence", UNREGISTERED),
        ("no such function", UNREGISTERED),
        ("unknown function", UNREGISTERED),
        ("no such module", UNREGISTERED),
        ("cannot INSERT into generated column", GENERATED),
        ("cannot UPDATE generated column", GENERATED),
        ("no such column", CHANGED),
        ("has no column named", CHANGED),
        ("no such table", CHANGED),
        ("foreign key mismatch", CHANGED),
    ];
    BY_TEXT.iter().find(|(words, _)| text.contains(words)).map(|(_, remedy)| *remedy)
}

/// Nothing can be written from a snapshot that is older than the last commit of another connection.
const OLD_SNAPSHOT: &str = "another connection wrote since this one began to read: end its open statements, or ROLLBACK, \
                            and begin the next transaction with BEGIN IMMEDIATE";

/// A new identifier: a UUID, version 4 to whoever asks, as the seed's are, of which the first 48 bits are the time.
///
/// Wholly random ones land all over the index of their table, so that every insert touches a page of its own. Over a
/// million entries that made the write-ahead log twice as long and the scoring slower by a third.
fn identifier() -> String {
    let milliseconds = chrono::Utc::now().timestamp_millis().to_be_bytes();
    let mut bytes = Uuid::new_v4().into_bytes();
    bytes[..6].copy_from_slice(&milliseconds[2..]);
    Uuid::from_bytes(bytes).to_string()
}

/// The present time in UTC, as the seed writes it: `2026-06-13T16:32:26.123456+00:00`.
fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_follow_the_time() {
        let earlier = identifier();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let later: std::collections::BTreeSet<_> = (0..1000).map(|_| identifier()).collect();
        assert_eq!(later.len(), 1000);
        assert!(later.iter().all(|id| *id > earlier && Uuid::parse_str(id).unwrap().get_version_num() == 4));
    }
}
