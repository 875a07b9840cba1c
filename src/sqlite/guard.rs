//! No panic leaves a callback: unwinding into C would abort the host process. Nor does one exhaust the stack.

use std::cell::Cell;

use crate::error::{Error, Result};
use crate::panics::caught;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// How rusqlite takes it that SQLite has no memory to give a text of a table in UTF-8.
const NO_MEMORY_FOR_A_TEXT: &str = "unexpected SQLITE_TEXT column type with NULL data";

/// One callback inside another, as a trigger that labels does it inside a scoring; gone as it ends.
struct Nested;

impl Nested {
    /// A temporary view `log_entries` that reads `anomaly_status`, which counts the rows of `log_entries`, has no end.
    const MOST: usize = 16;

    fn enter() -> Result<Self> {
        let depth = DEPTH.get();
        if depth >= Self::MOST {
            return Err(Error::argument(
                "a view or trigger of this database calls sqlite-anomaly within itself, again and again: \
                 look at the definitions of log_entries and detections",
            ));
        }
        DEPTH.set(depth + 1);
        Ok(Self)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Runs `body`, the inside of a callback; a panic becomes an error.
pub(super) fn guard<T>(callback: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let _nested = Nested::enter()?;
    let body = || {
        panic_if_asked(callback);
        body()
    };
    caught(body).unwrap_or_else(|panic| {
        if panic.reason == NO_MEMORY_FOR_A_TEXT {
            return Err(Error::out_of_memory());
        }
        let place = panic.place.map(|place| format!(" (at {place})")).unwrap_or_default();
        Err(Error::defect(format_args!("{}{place}", panic.reason)))
    })
}

/// Panics in the callback that the environment names, in a build that is made to test just that.
#[allow(clippy::panic)]
fn panic_if_asked(callback: &str) {
    if cfg!(feature = "panic-switch") && std::env::var("ANOMALY_PANIC_IN").is_ok_and(|name| name == callback)
    {
        panic!("asked to panic in {callback}");
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_text() {
        let error = guard::<()>("xNext", || panic!("index {} out of bounds", 7)).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.to_string().contains("index 7 out of bounds"));
    }

    #[test]
    fn a_result_passes_unchanged() {
        assert_eq!(guard("xNext", || Ok(1)).unwrap(), 1);
        assert_eq!(guard::<()>("xNext", || Err(Error::argument("no"))).unwrap_err().to_string(), "no");
    }
}
