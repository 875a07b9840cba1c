//! Panics as values: none leaves a callback, and none writes to the host's stderr.

use std::any::Any;
use std::cell::RefCell;
use std::mem;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why some work ended before its time.
#[derive(Debug)]
pub struct Panic {
    /// The words of the panic.
    pub reason: String,
    /// The file and the line, where they are known.
    pub place: Option<String>,
}

/// Keeps panics off stderr, which is the host's, and notes their places. The hook is this library's alone: the host, be
/// it written in Rust, has one of its own.
pub fn keep_quiet() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        // A thread that is ending may have no such note any more.
        let _ = PLACE.try_with(|last| last.replace(place));
    }));
}

/// Runs `work`, which may panic.
///
/// State that a panic may leave half changed sits behind locks that outlive it: see [`crate::sync::lock`].
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let panic = Panic { reason: words(payload.as_ref()).to_owned(), place: PLACE.with(RefCell::take) };
        // A payload may itself panic when it is dropped, and so may the payload of that.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(another);
        }
        panic
    })
}

fn words(payload: &(dyn Any + Send)) -> &str {
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
    use std::panic::panic_any;
    use std::sync::Arc;

    #[test]
    fn what_a_panic_brings_along_is_freed() {
        let payload = Arc::new(());
        let brought = Arc::clone(&payload);
        caught::<()>(|| panic_any(brought)).unwrap_err();
        assert_eq!(Arc::strong_count(&payload), 1);
    }

    #[test]
    fn a_payload_that_panics_as_it_is_dropped_does_no_harm() {
        struct Bomb;

        impl Drop for Bomb {
            fn drop(&mut self) {
                panic_any(Self);
            }
        }

        assert_eq!(caught::<()>(|| panic_any(Bomb)).unwrap_err().reason, "panicked");
    }
}
