//! A stand-in for the `sqlite3ext-sys` crate that `sqlite-loadable` depends on.
//!
//! The original runs bindgen (libclang) and compiles a whole SQLite at build time, neither of which a loadable
//! extension needs: it talks to the SQLite of its host through the table of function pointers that the host hands to
//! its entry point. This crate gives the types and constants of `libsqlite3-sys` the names that `sqlite-loadable` uses.
#![allow(non_camel_case_types)]

use std::ffi::{c_int, c_uint};
use std::ops::Deref;

pub use libsqlite3_sys::{
    sqlite3, sqlite3_context, sqlite3_index_constraint as sqlite3_index_info_sqlite3_index_constraint,
    sqlite3_index_constraint_usage as sqlite3_index_info_sqlite3_index_constraint_usage, sqlite3_index_info,
    sqlite3_index_orderby as sqlite3_index_info_sqlite3_index_orderby, sqlite3_module, sqlite3_stmt, sqlite3_value,
    sqlite3_vtab, sqlite3_vtab_cursor,
};

/// The function table of `sqlite3ext.h`, as far as `sqlite-loadable` names its members.
///
/// `libsqlite3-sys` describes the table as of SQLite 3.34; the members that follow were appended by later versions in
/// this order. A host older than 3.38 hands over a shorter table, so the last four must not be read there.
#[repr(C)]
pub struct sqlite3_api_routines {
    until_3_34: libsqlite3_sys::sqlite3_api_routines,
    pub changes64: Option<unsafe extern "C" fn(*mut sqlite3) -> i64>,
    pub total_changes64: Option<unsafe extern "C" fn(*mut sqlite3) -> i64>,
    pub autovacuum_pages: Option<unsafe extern "C" fn()>,
    pub error_offset: Option<unsafe extern "C" fn(*mut sqlite3) -> c_int>,
    pub vtab_rhs_value:
        Option<unsafe extern "C" fn(*mut sqlite3_index_info, c_int, *mut *mut sqlite3_value) -> c_int>,
    pub vtab_distinct: Option<unsafe extern "C" fn(*mut sqlite3_index_info) -> c_int>,
    pub vtab_in: Option<unsafe extern "C" fn(*mut sqlite3_index_info, c_int, c_int) -> c_int>,
    pub vtab_in_first:
        Option<unsafe extern "C" fn(*mut sqlite3_value, *mut *mut sqlite3_value) -> c_int>,
    pub vtab_in_next:
        Option<unsafe extern "C" fn(*mut sqlite3_value, *mut *mut sqlite3_value) -> c_int>,
}

impl Deref for sqlite3_api_routines {
    type Target = libsqlite3_sys::sqlite3_api_routines;

    fn deref(&self) -> &Self::Target {
        &self.until_3_34
    }
}

macro_rules! unsigned {
    ($($name:ident),+ $(,)?) => {
        $(pub const $name: c_uint = libsqlite3_sys::$name as c_uint;)+
    };
}

unsigned!(
    SQLITE_OK, SQLITE_UTF8, SQLITE_UTF16, SQLITE_UTF16BE, SQLITE_UTF16LE, SQLITE_DETERMINISTIC,
    SQLITE_DIRECTONLY, SQLITE_SUBTYPE, SQLITE_INNOCUOUS, SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT,
    SQLITE_BLOB, SQLITE_NULL,
);

