//! What the fuzz targets share.
//!
//! A target is a host: it links a SQLite of its own (`sqlite`), has it load the extension that is compiled into it,
//! and speaks SQL. What must hold whatever comes in stands in [`promise`]; [`folder`] lays out a model's files and
//! [`json`] changes JSON without breaking it; [`words!`] makes types of which each value is one of a list of words.

pub mod folder;
pub mod json;
pub mod promise;
mod sqlite;
mod words;

pub use sqlite::{Encoding, Failure, Host, Row, Value};
