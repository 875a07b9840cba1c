//! The entry point that SQLite calls when it loads the extension.

use std::ffi::{CString, c_char, c_int};
use std::sync::Mutex;

use rusqlite::ffi::{SQLITE_OK_LOAD_PERMANENTLY, rusqlite_extension_init2};
use sqlite_loadable::ext::{self, sqlite3, sqlite3_api_routines};

use super::database;
use super::function::{self, Flags};
use super::guard::guard;
use super::location;
use super::table::{self, TableFunction};
use super::value::Passed;
use crate::db::Database;
use crate::error::{Error, Kind, Result};
use crate::panics;
use crate::sync::lock;
use crate::value::Value;

/// Defines the symbol that SQLite looks up in the library file
/// (<https://www.sqlite.org/loadext.html#programming_loadable_extensions>).
macro_rules! entry_point {
    ($symbol:ident => $register:path) => {
        /// The entry point of the loadable extension.
        ///
        /// # Safety
        /// To be called by SQLite only.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol(
            db: *mut $crate::sqlite::sqlite3,
            message: *mut *mut std::ffi::c_char,
            api: *mut $crate::sqlite::sqlite3_api_routines,
        ) -> std::ffi::c_int {
            // SAFETY: SQLite calls the entry point with what `initialise` asks for.
            unsafe { $crate::sqlite::initialise(db, message, api, $register) }
        }
    };
}
pub(crate) use entry_point;

/// Where the SQL functions of a connection are registered.
#[derive(Debug)]
pub struct Registrar {
    db: *mut sqlite3,
}

impl Registrar {
    /// Whether this connection has a function of this name, without arguments, already.
    pub fn has(&self, name: &str) -> Result<bool> {
        // SAFETY: `db` is the connection that is loading the extension: see `initialise`.
        Ok(unsafe { database::lend(self.db) }?.has_function(name))
    }

    /// Registers a scalar function of `arguments` arguments.
    pub fn scalar<F>(&self, name: &str, arguments: usize, flags: Flags, body: F) -> Result<()>
    where
        F: Fn(&Database, Passed<'_>) -> Result<Value> + Send + Sync + 'static,
    {
        // SAFETY: `db` is the connection that is loading the extension: see `initialise`.
        unsafe { function::register(self.db, name, arguments as c_int, flags, body) }
    }

    /// Registers a table function.
    pub fn table<T: TableFunction>(&self, function: T) -> Result<()> {
        // SAFETY: as above.
        unsafe { table::register(self.db, function) }
    }
}

/// Makes the host's SQLite known to the bindings, then lets `register` add the functions.
///
/// The library stays loaded for good: ONNX Runtime's threads and statics live in it, and so does the code of functions
/// that were registered before one was refused.
///
/// # Safety
/// The arguments are those that SQLite passes to an extension's entry point.
pub unsafe fn initialise(
    db: *mut sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite3_api_routines,
    register: impl FnOnce(&Registrar) -> Result<()>,
) -> c_int {
    let outcome = guard("load", || {
        // SAFETY: the caller's contract.
        unsafe { adopt(api) }?;
        panics::keep_quiet();
        location::stay_loaded()?;
        register(&Registrar { db })
    });
    match outcome {
        Ok(()) => SQLITE_OK_LOAD_PERMANENTLY,
        Err(error) => {
            // SAFETY: the caller's contract.
            unsafe { explain(message, api, &error) };
            error.code()
        }
    }
}

/// The address of the function table of the SQLite that this process's extension serves.
static SERVED: Mutex<Option<usize>> = Mutex::new(None);

/// Hands the function table to both bindings, once per process.
///
/// Both keep it in a static. A process can hold two copies of SQLite (Python's own and that of a package, say); a
/// handle of one must never reach the functions of the other.
///
/// # Safety
/// `api` is null or the function table of a SQLite.
unsafe fn adopt(api: *mut sqlite3_api_routines) -> Result<()> {
    if api.is_null() {
        return Err(Error::new(
            Kind::Internal,
            "no SQLite function table: load sqlite-anomaly as an extension",
        ));
    }
    let mut served = lock(&SERVED);
    match *served {
        Some(address) if address == api.addr() => return Ok(()),
        Some(_) => {
            return Err(Error::new(
                Kind::Internal,
                "another copy of SQLite in this process has loaded sqlite-anomaly: \
                 use one SQLite library per process, or a process for each",
            ));
        }
        None => {}
    }
    // SAFETY: `api` is a function table; its first part is the one that rusqlite knows.
    let known = unsafe { rusqlite_extension_init2(api.cast()) };
    known.map_err(|error| {
        Error::new(
            Kind::Internal,
            format!("this SQLite cannot host sqlite-anomaly, 3.34.1 or newer is needed: {error}"),
        )
    })?;
    // SAFETY: as above.
    unsafe { ext::faux_sqlite_extension_init2(api) };
    *served = Some(api.addr());
    Ok(())
}

/// Leaves the text of `error` for the host, in memory of the host's own SQLite.
///
/// # Safety
/// The arguments are those that SQLite passes to an extension's entry point.
unsafe fn explain(message: *mut *mut c_char, api: *const sqlite3_api_routines, error: &Error) {
    if message.is_null() || api.is_null() {
        return;
    }
    let Ok(text) = CString::new(error.to_string()) else { return };
    // SAFETY: the caller's contract; the format takes one C string.
    unsafe {
        let api = &*api;
        if let Some(mprintf) = api.mprintf {
            *message = mprintf(c"%s".as_ptr(), text.as_ptr());
        }
    }
}
