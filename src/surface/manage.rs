//! `anomaly_init`, `anomaly_config`, `anomaly_reset` and `anomaly_version`.

use serde_json::Value as Json;

use crate::connection::Connection;
use crate::db::{Database, schema};
use crate::error::{Error, Result};
use crate::sqlite::Passed;
use crate::value::Value;

/// `anomaly_init()`: makes or migrates the tables, and says as a JSON list what it changed.
pub fn init(connection: &Connection, database: &Database, _: Passed<'_>) -> Result<Value> {
    let changes = schema::init(database, connection.settings().busy_timeout())?;
    Ok(Json::from(changes).to_string().into())
}

/// `anomaly_config(key)` reads and `anomaly_config(key, value)` sets a setting; both give its value.
pub fn config(connection: &Connection, _: &Database, arguments: Passed<'_>) -> Result<Value> {
    let mut arguments = arguments.all()?.into_iter();
    let key = arguments.next().and_then(Value::into_text);
    let key = key.ok_or_else(|| Error::argument("anomaly_config(key [, value]): the key is NULL"))?;
    match arguments.next() {
        None => connection.settings().get(&key),
        // NULL unsets what can be empty, and is refused like an empty text elsewhere.
        Some(value) => connection.configure(&key, &value.as_bound().text().unwrap_or_default()),
    }
}

/// `anomaly_reset()`: drops this connection's model and memo.
pub fn reset(connection: &Connection, _: &Database, _: Passed<'_>) -> Result<Value> {
    connection.reset();
    Ok(Value::Null)
}

/// `anomaly_version()`: the version of the extension.
pub fn version(_: &Connection, _: &Database, _: Passed<'_>) -> Result<Value> {
    Ok(env!("CARGO_PKG_VERSION").into())
}
