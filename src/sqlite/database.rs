//! The host's database handle, lent to the code that runs SQL on it.

use std::ffi::{CStr, c_int};

use rusqlite::Connection;
use sqlite_loadable::ext::sqlite3;

use crate::db::Database;
use crate::error::{Error, Kind, Result};

/// Wraps the host's handle. Dropping the wrapper leaves the handle open: it is the host's.
///
/// # Safety
/// `db` is an open connection of the SQLite that loaded this extension, and outlives the wrapper.
pub(super) unsafe fn lend(db: *mut sqlite3) -> Result<Database> {
    // SAFETY: the caller's contract.
    let connection = unsafe { Connection::from_handle(db) }.map_err(|error| {
        Error::new(Kind::Internal, format!("the host's connection cannot be used: {error}"))
    })?;
    Ok(Database::new(connection, extended_code))
}

fn extended_code(connection: &Connection) -> i32 {
    // SAFETY: the handle is that of an open connection, as `lend` was promised.
    unsafe { rusqlite::ffi::sqlite3_extended_errcode(connection.handle()) }
}

/// The error of the last call on a connection, which gave `code`.
///
/// # Safety
/// `db` is an open connection.
pub(super) unsafe fn failure(db: *mut sqlite3, code: c_int) -> Error {
    // SAFETY: the caller's contract; the text is copied before anything else is called.
    let text = unsafe { CStr::from_ptr(rusqlite::ffi::sqlite3_errmsg(db)) }.to_string_lossy().into_owned();
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text)).into()
}
