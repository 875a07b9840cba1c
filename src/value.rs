//! An SQL value on its way between SQLite and this crate.

use std::borrow::Cow;

/// One of the five [storage classes](https://www.sqlite.org/datatype3.html), owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `NULL`
    Null,
    /// `INTEGER`
    Integer(i64),
    /// `REAL`
    Real(f64),
    /// `TEXT`; invalid UTF-8 was replaced when it was read.
    Text(String),
    /// `BLOB`
    Blob(Vec<u8>),
}

impl Value {
    /// The value as text, as SQLite's `CAST(… AS TEXT)` would give it for all but exotic reals; `None` for `NULL`.
    ///
    /// Blobs are read as UTF-8, bytes that are none being replaced.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Integer(number) => Some(number.to_string().into()),
            Self::Real(number) => Some(format!("{number:?}").into()),
            Self::Text(text) => Some(text.into()),
            Self::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
        }
    }

    /// The same, without a copy of a text.
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            other => other.text().map(Cow::into_owned),
        }
    }

    /// A `REAL` that is a whole number as the `INTEGER` of it, and anything else as it is: JavaScript binds all of its
    /// numbers as `REAL`, a count of rows as well.
    pub fn as_bound(&self) -> Cow<'_, Self> {
        /// From here on the neighbours of a `REAL` are further away than 1.
        const SPARSE: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
        match self {
            Self::Real(number) if number.fract() == 0.0 && number.abs() < SPARSE => {
                Cow::Owned(Self::Integer(*number as i64))
            }
            other => Cow::Borrowed(other),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Integer(i64::from(flag))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
