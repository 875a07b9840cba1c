//! The body of each SQL function: arguments in, values out.

mod classify;
mod detections;
mod elements;
mod manage;
mod score_pending;
mod status;

use std::sync::Arc;

pub use classify::{ClassifyEach, Scores, classify, label, score};
pub use detections::{Detections, acknowledge};
pub use manage::{config, init, reset, version};
pub use score_pending::{ScorePending, score_all};
pub use status::Status;

use crate::connection::Connection;
use crate::db::Database;
use crate::error::Result;
use crate::sqlite::{Arguments, Passed, Rows};
use crate::value::Value;

/// The body of a scalar function.
pub type Scalar = fn(&Connection, &Database, Passed<'_>) -> Result<Value>;

/// Ties a scalar function to its connection.
pub fn bind(
    connection: &Arc<Connection>,
    body: Scalar,
) -> impl Fn(&Database, Passed<'_>) -> Result<Value> + Send + Sync + 'static {
    let connection = Arc::clone(connection);
    move |database, arguments| connection.note(body(&connection, database, arguments))
}

/// Rows that are there already.
pub struct Ready(std::vec::IntoIter<Vec<Value>>);

impl Ready {
    fn new(rows: Vec<Vec<Value>>) -> Self {
        Self(rows.into_iter())
    }
}

impl Rows for Ready {
    fn next(&mut self, _: &Database, _: Arguments<'_>) -> Result<Option<Vec<Value>>> {
        Ok(self.0.next())
    }
}
