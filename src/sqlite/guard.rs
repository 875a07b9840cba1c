//! No panic leaves a callback: unwinding into C would abort the host process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Kind, Result};

/// Runs `body`, the inside of a callback; a panic becomes an error.
///
/// State that a panic may leave half changed sits behind locks that outlive it: see [`crate::sync::lock`].
pub(super) fn guard<T>(callback: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let body = || {
        panic_if_asked(callback);
        body()
    };
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = format!("a defect in sqlite-anomaly, please report it: {}", reason(payload.as_ref()));
        // A payload may itself panic when it is dropped.
        std::mem::forget(payload);
        Err(Error::new(Kind::Internal, text))
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

fn reason(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panicked")
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_text() {
        let error = guard::<()>("xNext", || panic!("index {} out of bounds", 7)).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.to_string().ends_with("index 7 out of bounds"));
    }

    #[test]
    fn a_result_passes_unchanged() {
        assert_eq!(guard("xNext", || Ok(1)).unwrap(), 1);
        assert_eq!(guard::<()>("xNext", || Err(Error::argument("no"))).unwrap_err().to_string(), "no");
    }
}
