//! A host written in Rust: it opens a database, loads the extension, runs the SQL on its standard input, a statement a
//! line, and prints the rows as the sqlite3 shell does.
//!
//! ```console
//! $ oldest-host logs.db dist/anomaly0 < statements.sql
//! ```
//!
//! It calls SQLite's C functions by themselves, for no binding of that age holds SQLite 3.34.1. A program of today that
//! uses `rusqlite` (with its features `bundled` and `load_extension`) needs only these lines:
//!
//! ```ignore
//! let db = rusqlite::Connection::open("logs.db")?;
//! unsafe {
//!     let _allowed = rusqlite::LoadExtensionGuard::new(&db)?;
//!     db.load_extension("dist/anomaly0", None::<&str>)?;
//! }
//! db.query_row("SELECT anomaly_config('model', 'bundled')", [], |_| Ok(()))?;
//! ```

extern crate sqlite3_src;

use std::env;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::io::{self, BufRead};
use std::process::exit;
use std::ptr;

#[repr(C)]
struct Sqlite3 {
    _private: [u8; 0],
}

type Callback = extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

extern "C" {
    fn sqlite3_open(path: *const c_char, db: *mut *mut Sqlite3) -> c_int;
    fn sqlite3_close(db: *mut Sqlite3) -> c_int;
    fn sqlite3_enable_load_extension(db: *mut Sqlite3, on: c_int) -> c_int;
    fn sqlite3_load_extension(
        db: *mut Sqlite3,
        file: *const c_char,
        entry: *const c_char,
        message: *mut *mut c_char,
    ) -> c_int;
    fn sqlite3_exec(
        db: *mut Sqlite3,
        sql: *const c_char,
        row: Callback,
        state: *mut c_void,
        message: *mut *mut c_char,
    ) -> c_int;
    fn sqlite3_free(memory: *mut c_void);
}

const SQLITE_OK: c_int = 0;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, database, extension] = &arguments[..] else {
        eprintln!("usage: oldest-host DATABASE EXTENSION < STATEMENTS");
        exit(2);
    };
    let mut db = ptr::null_mut();
    // SAFETY: all strings end with a NUL, and each message is taken before the next call.
    let ok = unsafe {
        let mut message = ptr::null_mut();
        sqlite3_open(c_string(database).as_ptr(), &mut db);
        sqlite3_enable_load_extension(db, 1);
        let code = sqlite3_load_extension(db, c_string(extension).as_ptr(), ptr::null(), &mut message);
        succeeded(code, message)
    };
    if !ok {
        exit(1);
    }
    let mut failed = false;
    for line in io::stdin().lock().lines() {
        let sql = line.unwrap_or_default();
        // SAFETY: as above.
        failed |= unsafe {
            let mut message = ptr::null_mut();
            let code = sqlite3_exec(db, c_string(&sql).as_ptr(), print_row, ptr::null_mut(), &mut message);
            !succeeded(code, message)
        };
    }
    // SAFETY: no statement is open.
    let closed = unsafe { sqlite3_close(db) };
    exit(c_int::from(failed || closed != SQLITE_OK));
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Prints the columns of a row, `|` between them.
extern "C" fn print_row(
    _: *mut c_void,
    count: c_int,
    values: *mut *mut c_char,
    _: *mut *mut c_char,
) -> c_int {
    let value = |column| {
        // SAFETY: SQLite passes `count` strings; NULL is null.
        unsafe {
            let text = *values.add(column);
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        }
    };
    println!("{}", (0..count as usize).map(value).collect::<Vec<_>>().join("|"));
    SQLITE_OK
}

/// Whether a call went well; prints its message where it did not.
///
/// # Safety
/// `message` is null or a string of SQLite's.
unsafe fn succeeded(code: c_int, message: *mut c_char) -> bool {
    if code != SQLITE_OK {
        let text =
            if message.is_null() { "no message".into() } else { CStr::from_ptr(message).to_string_lossy() };
        eprintln!("error {code}: {text}");
    }
    sqlite3_free(message.cast());
    code == SQLITE_OK
}
