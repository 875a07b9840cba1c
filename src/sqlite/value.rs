//! Values and errors on their way into and out of SQLite.

use std::ffi::{c_char, c_int};
use std::slice;

use rusqlite::ffi::{
    SQLITE_BLOB, SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_TEXT, SQLITE_TOOBIG, SQLITE_TRANSIENT,
};
use sqlite_loadable::ext;

use crate::error::{Error, Kind, Result};
use crate::value::Value;

/// Copies the arguments of a call.
///
/// # Safety
/// `argv` holds `argc` values, or `argc` is 0.
pub(super) unsafe fn read_all(argc: c_int, argv: *mut *mut ext::sqlite3_value) -> Vec<Value> {
    if argc <= 0 || argv.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's contract.
    let values = unsafe { slice::from_raw_parts(argv, argc as usize) };
    // SAFETY: each is a value that SQLite keeps alive during the call.
    values.iter().map(|&value| unsafe { read(value) }).collect()
}

/// Copies one value.
///
/// # Safety
/// `value` is a value that SQLite passed to the running callback.
unsafe fn read(value: *mut ext::sqlite3_value) -> Value {
    // SAFETY: the caller's contract; the text or blob is fetched before its length, in the order that
    // https://www.sqlite.org/c3ref/value_blob.html asks for.
    unsafe {
        match ext::sqlite3ext_value_type(value) {
            SQLITE_INTEGER => Value::Integer(ext::sqlite3ext_value_int64(value)),
            SQLITE_FLOAT => Value::Real(ext::sqlite3ext_value_double(value)),
            SQLITE_TEXT => {
                let start = ext::sqlite3ext_value_text(value);
                let bytes = copy(start, ext::sqlite3ext_value_bytes(value));
                Value::Text(
                    String::from_utf8(bytes)
                        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
                )
            }
            SQLITE_BLOB => {
                let start = ext::sqlite3ext_value_blob(value);
                Value::Blob(copy(start.cast(), ext::sqlite3ext_value_bytes(value)))
            }
            _ => Value::Null,
        }
    }
}

/// # Safety
/// `start` is null or points to `length` bytes.
unsafe fn copy(start: *const u8, length: c_int) -> Vec<u8> {
    if start.is_null() || length <= 0 {
        return Vec::new();
    }
    // SAFETY: the caller's contract.
    unsafe { slice::from_raw_parts(start, length as usize) }.to_vec()
}

/// Makes `outcome` the result of the function call or column that `context` stands for.
///
/// # Safety
/// `context` is the context that SQLite passed to the running callback.
pub(super) unsafe fn finish(context: *mut ext::sqlite3_context, outcome: Result<&Value>) {
    // SAFETY: the caller's contract.
    match outcome.and_then(|value| unsafe { write(context, value) }) {
        Ok(()) => {}
        // SAFETY: as above.
        Err(error) => unsafe { fail(context, &error) },
    }
}

/// # Safety
/// As for [`finish`].
unsafe fn write(context: *mut ext::sqlite3_context, value: &Value) -> Result<()> {
    // SAFETY: the caller's contract; SQLITE_TRANSIENT (and the blob setter by itself) makes SQLite copy the bytes.
    unsafe {
        match value {
            Value::Null => ext::sqlite3ext_result_null(context),
            Value::Integer(number) => ext::sqlite3ext_result_int64(context, *number),
            Value::Real(number) => ext::sqlite3ext_result_double(context, *number),
            Value::Text(text) => {
                let length = length(text.as_bytes())?;
                ext::sqlite3ext_result_text(
                    context,
                    text.as_ptr().cast::<c_char>(),
                    length,
                    SQLITE_TRANSIENT(),
                );
            }
            Value::Blob(bytes) => {
                ext::sqlite3ext_result_blob(context, bytes.as_ptr().cast(), length(bytes)?);
            }
        }
    }
    Ok(())
}

fn length(bytes: &[u8]) -> Result<c_int> {
    c_int::try_from(bytes.len()).map_err(|_| {
        Error::new(
            Kind::Database(SQLITE_TOOBIG),
            format!("a result of {} bytes is too big for SQLite", bytes.len()),
        )
    })
}

/// Reports `error`: first its message, then its code, for the message alone would reset the code.
///
/// # Safety
/// As for [`finish`].
unsafe fn fail(context: *mut ext::sqlite3_context, error: &Error) {
    let message = error.to_string();
    let length = c_int::try_from(message.len()).unwrap_or(c_int::MAX);
    // SAFETY: the caller's contract; SQLite copies the message.
    unsafe {
        ext::sqlite3ext_result_error(context, message.as_ptr().cast::<c_char>(), length);
        ext::sqlite3ext_result_error_code(context, error.code());
    }
}
