//! Values and errors on their way into and out of SQLite.

use std::ffi::{c_char, c_int};
use std::slice;

use rusqlite::ffi::{
    SQLITE_BLOB, SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_TEXT, SQLITE_TOOBIG, SQLITE_TRANSIENT,
};
use sqlite_loadable::ext;

use crate::error::{Error, Kind, Result};
use crate::value::{Borrowed, Value};

/// The arguments of a call, copied as they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a>(&'a [*mut ext::sqlite3_value]);

impl Passed<'_> {
    /// All of them.
    pub fn all(self) -> Result<Vec<Value>> {
        (0..self.0.len()).map(|index| self.read(index)?.to_value()).collect()
    }

    /// The argument at `index` as text; `None` where it is `NULL` or was not passed.
    pub fn text(self, index: usize) -> Result<Option<String>> {
        self.head(index, usize::MAX)
    }

    /// The same, of no more than so many bytes.
    pub fn head(self, index: usize, bytes: usize) -> Result<Option<String>> {
        self.read(index)?.head(bytes)
    }

    fn read(&self, index: usize) -> Result<Borrowed<'_>> {
        // SAFETY: each is a value that SQLite keeps alive, and as it is, during the call.
        self.0.get(index).map_or(Ok(Borrowed::Null), |&value| unsafe { read(value) })
    }
}

/// The arguments of a call.
///
/// # Safety
/// `argv` holds `argc` values that SQLite keeps during `'a`, or `argc` is 0.
pub(super) unsafe fn passed<'a>(argc: c_int, argv: *mut *mut ext::sqlite3_value) -> Passed<'a> {
    if argc <= 0 || argv.is_null() {
        return Passed(&[]);
    }
    // SAFETY: the caller's contract.
    Passed(unsafe { slice::from_raw_parts(argv, argc as usize) })
}

/// Reads one value.
///
/// # Safety
/// `value` is a value that SQLite passed to the running callback, and the result does not outlive that.
unsafe fn read<'a>(value: *mut ext::sqlite3_value) -> Result<Borrowed<'a>> {
    // SAFETY: the caller's contract; the text or blob is fetched before its length, in the order that
    // https://www.sqlite.org/c3ref/value_blob.html asks for.
    unsafe {
        Ok(match ext::sqlite3ext_value_type(value) {
            SQLITE_INTEGER => Borrowed::Integer(ext::sqlite3ext_value_int64(value)),
            SQLITE_FLOAT => Borrowed::Real(ext::sqlite3ext_value_double(value)),
            SQLITE_TEXT => {
                let start = ext::sqlite3ext_value_text(value);
                // Even an empty text has an address, unless SQLite finds no memory to make it UTF-8.
                let start = if start.is_null() { Err(Error::out_of_memory()) } else { Ok(start) }?;
                Borrowed::Text(bytes(start, ext::sqlite3ext_value_bytes(value))?)
            }
            SQLITE_BLOB => {
                let start = ext::sqlite3ext_value_blob(value);
                Borrowed::Blob(bytes(start.cast(), ext::sqlite3ext_value_bytes(value))?)
            }
            _ => Borrowed::Null,
        })
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live during `'a`.
unsafe fn bytes<'a>(start: *const u8, length: c_int) -> Result<&'a [u8]> {
    match usize::try_from(length) {
        Ok(1..) if start.is_null() => Err(Error::out_of_memory()),
        // SAFETY: the caller's contract.
        Ok(length @ 1..) => Ok(unsafe { slice::from_raw_parts(start, length) }),
        _ => Ok(&[]),
    }
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
