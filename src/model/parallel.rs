//! Work shared between the caller's thread and helpers that live no longer than the call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::Check;
use crate::error::{Error, Result};

/// `work` on every item, by up to `threads` threads, in the order of the items.
///
/// The caller's thread takes its share and calls `check` before each piece of it, so that an interrupt stops them
/// all. No other thread sees anything but the items.
pub(super) fn map<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    check: Check<'_>,
    work: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let take = |before: Check<'_>| -> Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        let _stop = StopOnPanic(&stopped);
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            before().inspect_err(|_| stopped.store(true, Ordering::Relaxed))?;
            done.push((index, work(item)));
        }
        Ok(done)
    };
    let helpers = threads.min(items.len()).saturating_sub(1);
    let mut done = thread::scope(|scope| {
        let spawn = || helper().spawn_scoped(scope, || take(&|| Ok(())));
        // Where the system gives no more threads, those that are there do the work.
        let helpers: Vec<_> = (0..helpers).map_while(|_| spawn().ok()).collect();
        let mut done = take(check);
        for helper in helpers {
            let share = helper.join().unwrap_or_else(|_| Err(defect()));
            if let (Ok(done), Ok(share)) = (&mut done, share) {
                done.extend(share);
            }
        }
        done
    })?;
    if done.len() < items.len() {
        return Err(defect());
    }
    done.sort_unstable_by_key(|&(index, _)| index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Both results, `first` being worked on by another thread where there may be one.
pub(super) fn join<A: Send, B>(
    threads: usize,
    first: impl Fn() -> A + Sync,
    second: impl FnOnce() -> B,
) -> Result<(A, B)> {
    if threads < 2 {
        return Ok((first(), second()));
    }
    thread::scope(|scope| {
        let spawned = helper().spawn_scoped(scope, &first);
        let second = second();
        match spawned {
            Ok(helper) => Ok((helper.join().map_err(|_| defect())?, second)),
            // Where the system gives no more threads, the one that is there does the work.
            Err(_) => Ok((first(), second)),
        }
    })
}

/// A thread to be, with the stack that threads have by default: RUST_MIN_STACK is meant for programs of the host's.
fn helper() -> thread::Builder {
    const STACK: usize = 2 << 20;
    thread::Builder::new().name("sqlite-anomaly".into()).stack_size(STACK)
}

/// A panic in one thread ends the work of all.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn defect() -> Error {
    Error::defect("a worker thread panicked")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [1, 2, 8] {
            let doubled = map(threads, &items, &|| Ok(()), |item| item * 2).unwrap();
            assert!(doubled.iter().enumerate().all(|(index, &result)| result == index * 2));
        }
    }

    #[test]
    fn a_failed_check_stops_the_work() {
        let done = AtomicUsize::new(0);
        let outcome = map(
            1,
            &[(); 100],
            &|| if done.load(Ordering::Relaxed) < 3 { Ok(()) } else { Err(Error::interrupted()) },
            |()| {
                done.fetch_add(1, Ordering::Relaxed);
            },
        );
        assert_eq!(outcome.unwrap_err().kind(), Kind::Interrupted);
        assert_eq!(done.into_inner(), 3);
    }

    #[test]
    fn both_results_come_with_and_without_another_thread() {
        for threads in [1, 2] {
            assert_eq!(join(threads, || 1, || 2).unwrap(), (1, 2));
        }
        let outcome = join(2, || assert_ne!(thread::current().name(), Some("sqlite-anomaly")), || ());
        assert_eq!(outcome.unwrap_err().kind(), Kind::Internal);
    }

    #[test]
    fn a_panic_in_a_helper_is_an_error() {
        let caller = thread::current().id();
        let outcome = map(
            2,
            &[(); 1000],
            &|| {
                thread::sleep(std::time::Duration::from_micros(50));
                Ok(())
            },
            |()| {
                assert_eq!(thread::current().id(), caller, "a helper");
            },
        );
        assert_eq!(outcome.unwrap_err().kind(), Kind::Internal);
    }
}
