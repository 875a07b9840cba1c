//! A value as the database holds it: text stays the bytes it is, valid UTF-8 or not, so that it finds its row again.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use crate::error::Result;
use crate::value::{Borrowed, Value, copy};

/// An owned [`ValueRef`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl FromSql for Cell {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(copy(bytes).map_err(FromSqlError::other)?),
            ValueRef::Blob(bytes) => Self::Blob(copy(bytes).map_err(FromSqlError::other)?),
        })
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The first `count` values of a row.
pub(super) fn values(row: &Row<'_>, count: usize) -> Result<Vec<Value>> {
    (0..count).map(|index| borrowed(row.get_ref(index)?).to_value()).collect()
}

fn borrowed(value: ValueRef<'_>) -> Borrowed<'_> {
    match value {
        ValueRef::Null => Borrowed::Null,
        ValueRef::Integer(number) => Borrowed::Integer(number),
        ValueRef::Real(number) => Borrowed::Real(number),
        ValueRef::Text(bytes) => Borrowed::Text(bytes),
        ValueRef::Blob(bytes) => Borrowed::Blob(bytes),
    }
}
