//! SQLite's C API, made safe: the only room of this crate with unsafe code.
//!
//! What is registered here is plain Rust: a scalar function is a closure from [`Value`](crate::value::Value)s to a
//! value, a table function an implementation of [`TableFunction`]. Around them this module keeps the promises that C
//! code expects and that `sqlite-loadable` leaves open:
//!
//! - no panic crosses into C: every callback and every destructor runs inside `guard`, and none writes
//!   to the host's stderr: see [`crate::panics`];
//! - an error reaches the host with its message and its result code;
//! - what is registered is freed with the connection;
//! - values are read completely (`NULL`, `NUL` bytes, empty blobs, invalid UTF-8) and copied, and where there is no memory
//!   for the copy, that is an error;
//! - one copy of SQLite is served per process, a second one is refused with a message.
//!
//! # Safety
//!
//! Every callback relies on the contract of SQLite's documentation: pointers it passes are valid for the duration of
//! the call, `argv` holds `argc` values, the user data of a function or module is the pointer that was registered
//! with it and is passed to its destructor exactly once, after the last call; and a table or a cursor that `xConnect`
//! or `xOpen` handed out comes back unchanged until `xDisconnect` or `xClose`, which end it. SQLite serialises all
//! calls on one connection.
#![allow(unsafe_code)]

mod database;
mod entry;
mod function;
mod guard;
mod location;
mod table;
mod value;

pub(crate) use entry::entry_point;
pub use entry::{Registrar, initialise};
pub use function::Flags;
pub use location::library_path;
pub use table::{Arguments, Rows, TableFunction};
pub use value::Passed;

#[doc(hidden)]
pub use sqlite_loadable::ext::{sqlite3, sqlite3_api_routines};
