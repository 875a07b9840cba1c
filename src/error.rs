//! The one error type of the extension.
//!
//! An [`Error`] is made where the fault is known (which file, which row, what to do about it) and becomes an SQLite
//! error in one place, `sqlite::value::fail` and its table-function twin. Its text always names the thing and the
//! remedy; its [`Kind`] decides the [result code](https://www.sqlite.org/rescode.html).

use std::fmt;

/// The result type of the whole crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in the words a host may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An argument or a setting that cannot be used.
    Argument,
    /// A model folder, a model file or the ONNX Runtime library that is missing or cannot be used.
    Model,
    /// The model did not produce usable numbers.
    Inference,
    /// The host interrupted the statement.
    Interrupted,
    /// SQLite refused; the extended result code says why.
    Database(i32),
    /// A defect of this extension.
    Internal,
}

/// A fault and its remedy.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: String,
}

const SQLITE_ERROR: i32 = 1;
const SQLITE_INTERNAL: i32 = 2;
const SQLITE_BUSY: i32 = 5;
const SQLITE_NOMEM: i32 = 7;
const SQLITE_INTERRUPT: i32 = 9;
const SQLITE_LOCKED_SHAREDCACHE: i32 = 6 | (1 << 8);
const SQLITE_BUSY_SNAPSHOT: i32 = 5 | (2 << 8);

impl Error {
    /// An error of the given kind; `message` names the thing and the remedy.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        // Hosts read the text as a C string.
        Self { kind, message: readable(message.into()).replace('\0', "\u{fffd}") }
    }

    /// An argument or setting that cannot be used.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(Kind::Argument, message)
    }

    /// A model, or the runtime it needs, that cannot be used.
    pub fn model(message: impl Into<String>) -> Self {
        Self::new(Kind::Model, message)
    }

    /// What cannot happen, did.
    pub fn defect(what: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, format!("a defect in sqlite-anomaly, please report it: {what}"))
    }

    /// The statement was interrupted.
    pub fn interrupted() -> Self {
        Self::new(
            Kind::Interrupted,
            "interrupted; every batch already reported stays as it is, run it again for the rest",
        )
    }

    /// There is no memory for a value. Where the size comes from the data, this is an error and no abort.
    pub fn out_of_memory() -> Self {
        Self::new(
            Kind::Database(SQLITE_NOMEM),
            "out of memory for a large value: free some memory, or give it less, and run it again",
        )
    }

    /// What kind of fault this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The SQLite [result code](https://www.sqlite.org/rescode.html), extended where SQLite gave an extended one.
    pub fn code(&self) -> i32 {
        match self.kind {
            Kind::Argument | Kind::Model | Kind::Inference => SQLITE_ERROR,
            Kind::Interrupted => SQLITE_INTERRUPT,
            Kind::Database(code) => code,
            Kind::Internal => SQLITE_INTERNAL,
        }
    }

    /// Whether waiting may help: another connection holds the lock.
    pub fn is_locked(&self) -> bool {
        match self.kind {
            Kind::Database(SQLITE_LOCKED_SHAREDCACHE) => true,
            Kind::Database(code) => code & 0xff == SQLITE_BUSY && !self.is_stale(),
            _ => false,
        }
    }

    /// Whether another connection wrote since the running statement began to read
    /// ([`SQLITE_BUSY_SNAPSHOT`](https://www.sqlite.org/rescode.html#busy_snapshot)): this statement cannot write any
    /// more, however long it waits.
    pub fn is_stale(&self) -> bool {
        self.kind == Kind::Database(SQLITE_BUSY_SNAPSHOT)
    }

    /// The same fault, better known.
    #[must_use]
    pub fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same fault with its surroundings named in front.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self::new(self.kind, format!("{context}: {}", self.message))
    }
}

/// The text, without its middle where it is long: what others say of an argument or a file may hold all of it, and the
/// remedy stands at the end.
fn readable(message: String) -> String {
    const AT_EACH_END: usize = 1000;
    let head = message.char_indices().nth(AT_EACH_END).map(|(end, _)| end);
    let tail = message.char_indices().rev().nth(AT_EACH_END - 1).map(|(start, _)| start);
    match (head, tail) {
        (Some(head), Some(tail)) if head < tail => {
            format!("{} … {}", &message[..head], &message[tail..])
        }
        _ => message,
    }
}

/// The first 80 characters: an error text must stay readable whatever was passed.
pub fn abridged(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_can_be_waited_for_but_a_stale_snapshot_cannot() {
        assert!(Error::new(Kind::Database(SQLITE_BUSY), "").is_locked());
        let stale = Error::new(Kind::Database(SQLITE_BUSY_SNAPSHOT), "");
        assert!(stale.is_stale() && !stale.is_locked());
        assert!(!Error::argument("").is_locked());
    }

    #[test]
    fn context_stands_in_front() {
        assert_eq!(Error::model("no tokenizer").context("model 'm'").to_string(), "model 'm': no tokenizer");
    }

    #[test]
    fn a_long_text_keeps_its_ends() {
        let text = format!("model '{}': no folder; save it", "é".repeat(5000));
        let error = Error::model(text).to_string();
        assert!(error.starts_with("model 'é") && error.ends_with("é': no folder; save it"), "{error}");
        assert_eq!(error.chars().count(), 2003);
        let whole = "é".repeat(2000);
        assert_eq!(Error::model(whole.clone()).to_string(), whole);
    }
}
