//! The host's database handle, lent to the code that runs SQL on it.

use std::ffi::{CStr, c_int};

use rusqlite::{Connection, ffi};
use sqlite_loadable::ext::sqlite3;

use crate::db::{Database, Handle};
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
    Ok(Database::new(connection, Handle { extended_code, running_writes }))
}

fn extended_code(connection: &Connection) -> i32 {
    // SAFETY: the handle is that of an open connection, as `lend` was promised.
    unsafe { ffi::sqlite3_extended_errcode(connection.handle()) }
}

fn running_writes(connection: &Connection) -> Vec<String> {
    let mut found = Vec::new();
    let mut statement = std::ptr::null_mut();
    loop {
        // SAFETY: the handle is that of an open connection, as `lend` was promised, and `statement` one of its
        // statements: nothing is finalized in this loop, and no other thread uses a connection that is in a callback.
        unsafe {
            statement = ffi::sqlite3_next_stmt(connection.handle(), statement);
            if statement.is_null() {
                return found;
            }
            if ffi::sqlite3_stmt_busy(statement) != 0 && ffi::sqlite3_stmt_readonly(statement) == 0 {
                found.push(CStr::from_ptr(ffi::sqlite3_sql(statement)).to_string_lossy().into_owned());
            }
        }
    }
}

/// The error of the last call on a connection, which gave `code`.
///
/// # Safety
/// `db` is an open connection.
pub(super) unsafe fn failure(db: *mut sqlite3, code: c_int) -> Error {
    // SAFETY: the caller's contract; the text is copied before anything else is called.
    let text = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(db)) }.to_string_lossy().into_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text)).into()
}
