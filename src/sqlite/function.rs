//! Scalar functions.

use std::ffi::{CString, c_int, c_void};

use rusqlite::ffi::{SQLITE_DIRECTONLY, SQLITE_INNOCUOUS, SQLITE_OK, SQLITE_UTF8};
use sqlite_loadable::ext;

use super::database;
use super::guard::guard;
use super::value::{self, Passed};
use crate::db::Database;
use crate::error::{Error, Kind, Result};
use crate::value::Value;

/// From where a function may be called, and what SQLite may assume of it
/// (<https://www.sqlite.org/c3ref/c_deterministic.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// From anywhere that the host trusts.
    None,
    /// From top-level SQL only: a hostile schema's views and triggers cannot call it.
    DirectOnly,
    /// From anywhere, the schema of an untrusted database included.
    Innocuous,
}

impl Flags {
    fn bits(self) -> c_int {
        SQLITE_UTF8
            | match self {
                Self::None => 0,
                Self::DirectOnly => SQLITE_DIRECTONLY,
                Self::Innocuous => SQLITE_INNOCUOUS,
            }
    }
}

/// Registers `body` as the scalar function `name` of `arguments` arguments.
///
/// # Safety
/// `db` is the connection that is loading this extension.
pub(super) unsafe fn register<F>(
    db: *mut ext::sqlite3,
    name: &str,
    arguments: c_int,
    flags: Flags,
    body: F,
) -> Result<()>
where
    F: Fn(&Database, Passed<'_>) -> Result<Value> + Send + Sync + 'static,
{
    let c_name = CString::new(name).map_err(|_| Error::defect("a function name holds a NUL"))?;
    let body = Box::into_raw(Box::new(body)).cast::<c_void>();
    // SAFETY: `body` is of the type that the two callbacks take; SQLite calls the destructor exactly once, also when
    // the registration fails.
    let code = unsafe {
        ext::sqlite3ext_create_function_v2(
            db,
            c_name.as_ptr(),
            arguments,
            flags.bits(),
            body,
            Some(call::<F>),
            None,
            None,
            Some(destroy::<F>),
        )
    };
    if code == SQLITE_OK {
        return Ok(());
    }
    Err(Error::new(Kind::Database(code), format!("SQLite refused to register the function {name}")))
}

unsafe extern "C" fn call<F>(
    context: *mut ext::sqlite3_context,
    argc: c_int,
    argv: *mut *mut ext::sqlite3_value,
) where
    F: Fn(&Database, Passed<'_>) -> Result<Value> + 'static,
{
    let outcome = guard("xFunc", || {
        // SAFETY: the contract of `super`.
        let (body, database, arguments) = unsafe {
            let body = &*ext::sqlite3ext_user_data(context).cast::<F>();
            (body, database::lend(ext::sqlite3ext_context_db_handle(context))?, value::passed(argc, argv))
        };
        body(&database, arguments)
    });
    // SAFETY: `context` is the one of this call.
    unsafe { value::finish(context, outcome.as_ref().map_err(Clone::clone)) }
}

/// Frees what was registered for a function or a module.
pub(super) unsafe extern "C" fn destroy<T>(registered: *mut c_void) {
    // SAFETY: `registered` came from `Box::<T>::into_raw`, and SQLite passes it here once.
    let owned = unsafe { Box::from_raw(registered.cast::<T>()) };
    // Nothing is left to tell about a destructor that panicked.
    let _ = guard("xDestroy", || {
        drop(owned);
        Ok(())
    });
}
