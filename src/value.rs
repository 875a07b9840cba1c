//! An SQL value on its way between SQLite and this crate.

use std::borrow::Cow;

use crate::error::{Error, Result};

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

    /// The value where it lies.
    pub fn borrowed(&self) -> Borrowed<'_> {
        match self {
            Self::Null => Borrowed::Null,
            Self::Integer(number) => Borrowed::Integer(*number),
            Self::Real(number) => Borrowed::Real(*number),
            Self::Text(text) => Borrowed::Text(text.as_bytes()),
            Self::Blob(bytes) => Borrowed::Blob(bytes),
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

/// A value where it lies, as the bytes it is there.
#[derive(Clone, Copy, Debug)]
pub enum Borrowed<'a> {
    /// `NULL`
    Null,
    /// `INTEGER`
    Integer(i64),
    /// `REAL`
    Real(f64),
    /// `TEXT`, which may be no valid UTF-8.
    Text(&'a [u8]),
    /// `BLOB`
    Blob(&'a [u8]),
}

impl Borrowed<'_> {
    /// A copy.
    pub fn to_value(self) -> Result<Value> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(number),
            Self::Real(number) => Value::Real(number),
            Self::Text(bytes) => Value::Text(as_text(bytes)?),
            Self::Blob(bytes) => Value::Blob(copy(bytes)?),
        })
    }

    /// What [`Value::text`] makes of the first so many bytes. A character that ends behind them counts as invalid.
    pub fn head(self, bytes: usize) -> Result<Option<String>> {
        match self {
            Self::Text(all) | Self::Blob(all) => as_text(&all[..all.len().min(bytes)]).map(Some),
            number => Ok(number.to_value()?.into_text()),
        }
    }
}

/// Fails where there is no memory for so many bytes, which what comes next would abort the process for.
pub fn require_room(bytes: usize) -> Result<()> {
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| Error::out_of_memory())
}

/// A copy; an error where there is no memory for it.
pub fn copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Error::out_of_memory())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// A copy as UTF-8, bytes that are none being replaced as [`String::from_utf8_lossy`] does it.
fn as_text(bytes: &[u8]) -> Result<String> {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        let replacement = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
        let length = chunk.valid().len() + replacement.len();
        text.try_reserve(length).map_err(|_| Error::out_of_memory())?;
        text.push_str(chunk.valid());
        text.push_str(replacement);
    }
    Ok(text)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_as_text_is_the_lossy_one() {
        for bytes in
            [&b""[..], b"plain", "\u{e4}\u{1f980}".as_bytes(), b"\xff a\xe2\x82", b"\xed\xa0\x80\xc0\xaf"]
        {
            assert_eq!(as_text(bytes).unwrap(), String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn the_head_of_a_text_may_end_within_a_character() {
        let head = |text: &str, bytes| Borrowed::Text(text.as_bytes()).head(bytes).unwrap().unwrap();
        assert_eq!(head("a\u{e4}b", 1), "a");
        assert_eq!(head("a\u{e4}b", 2), "a\u{fffd}");
        assert_eq!(head("a\u{e4}b", 100), "a\u{e4}b");
        assert_eq!(Borrowed::Integer(12).head(1).unwrap().unwrap(), "12");
    }
}
