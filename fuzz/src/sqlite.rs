//! SQLite as a host of the extension: the only unsafe code here.
//!
//! # Safety
//!
//! Handles and statements come from the SQLite that is linked, are used by one thread, and end in `Drop`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::ptr;
use std::slice;

use anomaly::sqlite::{sqlite3, sqlite3_api_routines};
use arbitrary::Arbitrary;

#[repr(C)]
struct Stmt {
    _opaque: [u8; 0],
}

/// What a bound value is to be copied by (`SQLITE_TRANSIENT`).
const COPY: isize = -1;
const OK: c_int = 0;
const ROW: c_int = 100;
const DONE: c_int = 101;
const OK_LOAD_PERMANENTLY: c_int = 256;

unsafe extern "C" {
    fn sqlite3_auto_extension(entry: unsafe extern "C" fn()) -> c_int;
    fn sqlite3_open(name: *const c_char, db: *mut *mut sqlite3) -> c_int;
    fn sqlite3_close(db: *mut sqlite3) -> c_int;
    fn sqlite3_errmsg(db: *mut sqlite3) -> *const c_char;
    fn sqlite3_get_autocommit(db: *mut sqlite3) -> c_int;
    fn sqlite3_prepare_v2(
        db: *mut sqlite3,
        sql: *const c_char,
        length: c_int,
        statement: *mut *mut Stmt,
        tail: *mut *const c_char,
    ) -> c_int;
    fn sqlite3_bind_parameter_count(statement: *mut Stmt) -> c_int;
    fn sqlite3_bind_int64(statement: *mut Stmt, index: c_int, value: i64) -> c_int;
    fn sqlite3_bind_double(statement: *mut Stmt, index: c_int, value: f64) -> c_int;
    fn sqlite3_bind_text(s: *mut Stmt, index: c_int, text: *const u8, bytes: c_int, copy: isize) -> c_int;
    fn sqlite3_bind_text16(s: *mut Stmt, index: c_int, text: *const u16, bytes: c_int, copy: isize) -> c_int;
    fn sqlite3_bind_blob(s: *mut Stmt, index: c_int, blob: *const u8, bytes: c_int, copy: isize) -> c_int;
    fn sqlite3_step(statement: *mut Stmt) -> c_int;
    fn sqlite3_column_count(statement: *mut Stmt) -> c_int;
    fn sqlite3_column_type(statement: *mut Stmt, column: c_int) -> c_int;
    fn sqlite3_column_int64(statement: *mut Stmt, column: c_int) -> i64;
    fn sqlite3_column_double(statement: *mut Stmt, column: c_int) -> f64;
    fn sqlite3_column_text(statement: *mut Stmt, column: c_int) -> *const u8;
    fn sqlite3_column_blob(statement: *mut Stmt, column: c_int) -> *const c_void;
    fn sqlite3_column_bytes(statement: *mut Stmt, column: c_int) -> c_int;
    fn sqlite3_finalize(statement: *mut Stmt) -> c_int;
}

/// A value on its way in or out.
#[derive(Arbitrary, Clone, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    /// Bytes that say they are UTF-8.
    Text(Vec<u8>),
    /// Units that say they are UTF-16; never comes out.
    Wide(Vec<u16>),
    Blob(Vec<u8>),
}

impl Value {
    /// The text, where it is one and valid.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(number) => fmt::Debug::fmt(number, f),
            Self::Real(number) => fmt::Debug::fmt(number, f),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => fmt::Debug::fmt(text, f),
                Err(_) => write!(f, "text of the bytes {bytes:x?}"),
            },
            Self::Wide(units) => write!(f, "text of the units {units:x?}"),
            Self::Blob(bytes) => write!(f, "blob {bytes:x?}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_owned())
    }
}

/// The values of one row.
pub type Row = Vec<Value>;

/// How a database holds texts.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Encoding {
    Utf8,
    Utf16Little,
    Utf16Big,
}

/// What SQLite says of a statement that failed.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text, self.code)
    }
}

/// A connection to an in-memory database with the extension loaded.
#[derive(Debug)]
pub struct Host {
    db: *mut sqlite3,
}

impl Host {
    /// Opens one.
    pub fn open(encoding: Encoding) -> Result<Self, Failure> {
        // SAFETY: SQLite calls an automatic extension with the arguments that `load` takes; registering it again
        // changes nothing.
        unsafe {
            let load: unsafe extern "C" fn(_, _, _) -> _ = load;
            sqlite3_auto_extension(std::mem::transmute::<
                unsafe extern "C" fn(*mut sqlite3, *mut *mut c_char, *mut sqlite3_api_routines) -> c_int,
                unsafe extern "C" fn(),
            >(load));
        }
        let mut host = Self { db: ptr::null_mut() };
        // SAFETY: the name is a C string, and the handle goes where it may be written.
        let code = unsafe { sqlite3_open(c":memory:".as_ptr(), &mut host.db) };
        host.check(code)?;
        let encoding = match encoding {
            Encoding::Utf8 => "UTF-8",
            Encoding::Utf16Little => "UTF-16le",
            Encoding::Utf16Big => "UTF-16be",
        };
        host.query(&format!("PRAGMA encoding = '{encoding}'"), &[])?;
        Ok(host)
    }

    /// Whether no transaction is open.
    pub fn is_autocommit(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { sqlite3_get_autocommit(self.db) != 0 }
    }

    /// All rows of one statement; parameters that are left over, on either side, are none.
    pub fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Failure> {
        self.first_rows(sql, parameters, usize::MAX)
    }

    /// The first rows of one statement, which is then abandoned.
    pub fn first_rows(&self, sql: &str, parameters: &[Value], limit: usize) -> Result<Vec<Row>, Failure> {
        let statement = Statement::prepare(self, sql)?;
        statement.bind(parameters)?;
        let mut rows = Vec::new();
        while rows.len() < limit {
            // SAFETY: the statement is prepared.
            match unsafe { sqlite3_step(statement.raw) } {
                ROW => rows.push(statement.row()),
                DONE => break,
                code => return Err(self.failure(code)),
            }
        }
        Ok(rows)
    }

    fn check(&self, code: c_int) -> Result<(), Failure> {
        if code == OK { Ok(()) } else { Err(self.failure(code)) }
    }

    fn failure(&self, code: c_int) -> Failure {
        // SAFETY: the handle is open, or null, of which SQLite says that memory was short; the text is a C string
        // until the next call.
        let text = unsafe { CStr::from_ptr(sqlite3_errmsg(self.db)) };
        Failure { code, text: text.to_string_lossy().into_owned() }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: the handle is not used again.
        let code = unsafe { sqlite3_close(self.db) };
        if code != OK {
            crate::promise::broken(
                "the extension left a statement open, so that the connection cannot be closed",
            );
        }
    }
}

/// The extension's entry point, whose wish to stay loaded an automatic extension cannot express.
unsafe extern "C" fn load(
    db: *mut sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite3_api_routines,
) -> c_int {
    // SAFETY: the arguments are SQLite's.
    match unsafe { anomaly::sqlite3_anomaly_init(db, message, api) } {
        OK_LOAD_PERMANENTLY => OK,
        code => code,
    }
}

struct Statement<'h> {
    host: &'h Host,
    raw: *mut Stmt,
}

impl<'h> Statement<'h> {
    fn prepare(host: &'h Host, sql: &str) -> Result<Self, Failure> {
        let sql = CString::new(sql)
            .map_err(|_| Failure { code: 1, text: "the statement holds a NUL".to_owned() })?;
        let mut statement = Self { host, raw: ptr::null_mut() };
        // SAFETY: the handle is open, the text a C string, and the statement goes where it may be written.
        let code =
            unsafe { sqlite3_prepare_v2(host.db, sql.as_ptr(), -1, &mut statement.raw, ptr::null_mut()) };
        host.check(code)?;
        Ok(statement)
    }

    fn bind(&self, parameters: &[Value]) -> Result<(), Failure> {
        // SAFETY: the statement is prepared; SQLite copies what is bound, of the length that is told.
        unsafe {
            let count = sqlite3_bind_parameter_count(self.raw);
            for (index, value) in (1..=count).zip(parameters) {
                let code = match value {
                    Value::Null => OK,
                    Value::Integer(number) => sqlite3_bind_int64(self.raw, index, *number),
                    Value::Real(number) => sqlite3_bind_double(self.raw, index, *number),
                    Value::Text(text) => {
                        sqlite3_bind_text(self.raw, index, text.as_ptr(), text.len() as c_int, COPY)
                    }
                    Value::Wide(text) => {
                        sqlite3_bind_text16(self.raw, index, text.as_ptr(), 2 * text.len() as c_int, COPY)
                    }
                    Value::Blob(blob) => {
                        sqlite3_bind_blob(self.raw, index, blob.as_ptr(), blob.len() as c_int, COPY)
                    }
                };
                self.host.check(code)?;
            }
        }
        Ok(())
    }

    fn row(&self) -> Row {
        // SAFETY: the statement stands at a row.
        let count = unsafe { sqlite3_column_count(self.raw) };
        (0..count).map(|column| self.value(column)).collect()
    }

    fn value(&self, column: c_int) -> Value {
        // SAFETY: the statement stands at a row that has this column; each is read as what it is, and what is pointed
        // to before its length is asked for.
        unsafe {
            match sqlite3_column_type(self.raw, column) {
                1 => Value::Integer(sqlite3_column_int64(self.raw, column)),
                2 => Value::Real(sqlite3_column_double(self.raw, column)),
                3 => Value::Text(self.bytes(sqlite3_column_text(self.raw, column), column)),
                4 => Value::Blob(self.bytes(sqlite3_column_blob(self.raw, column).cast(), column)),
                _ => Value::Null,
            }
        }
    }

    /// # Safety
    /// `start` is what SQLite gave for this column just now.
    unsafe fn bytes(&self, start: *const u8, column: c_int) -> Vec<u8> {
        if start.is_null() {
            return Vec::new();
        }
        // SAFETY: the caller's contract.
        unsafe { slice::from_raw_parts(start, sqlite3_column_bytes(self.raw, column) as usize) }.to_vec()
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is not used again; SQLite takes null too.
        unsafe { sqlite3_finalize(self.raw) };
    }
}
