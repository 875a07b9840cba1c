//! Waiting for another connection's lock, beyond what the host's own busy handler does.

use std::time::{Duration, Instant};

use super::Database;
use crate::error::{Error, Result};

/// How often a stale snapshot is tried again: a fresh one helps unless a statement of the host holds the old one.
const STALE_ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait for locks, in all, and how long at a time.
///
/// The pauses grow and are jittered, so that several writers do not meet again and again.
#[derive(Debug)]
pub(super) struct Patience {
    started: Instant,
    timeout: Duration,
    pause: Duration,
    gave_up: bool,
    stale_attempts: u32,
}

impl Patience {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            started: Instant::now(),
            timeout,
            pause: FIRST_PAUSE,
            gave_up: false,
            stale_attempts: STALE_ATTEMPTS,
        }
    }

    /// After `error`: waits a little where that may help, else gives the error back. An interrupt ends the wait.
    pub(super) fn wait(&mut self, database: &Database, error: Error) -> Result<()> {
        let error = database.refine(error);
        if error.is_stale() && self.stale_attempts > 0 {
            self.stale_attempts -= 1;
            return Ok(());
        }
        if !error.is_locked() || self.gave_up {
            return Err(error);
        }
        let left = self.timeout.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            self.gave_up = true;
            return Err(error.context(format!(
                "another connection held its lock for {} ms (busy_timeout_ms = {}); run it again, \
                 or wait longer with anomaly_config('busy_timeout_ms', …)",
                self.started.elapsed().as_millis(),
                self.timeout.as_millis()
            )));
        }
        database.check_interrupt()?;
        std::thread::sleep(jittered(self.pause).min(left));
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// Runs `work` until it does not fail for a lock.
    pub(super) fn until_unlocked<T>(
        &mut self,
        database: &Database,
        mut work: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        loop {
            match work() {
                Ok(value) => return Ok(value),
                Err(error) => self.wait(database, error)?,
            }
        }
    }
}

/// Runs `work` until it does not fail for a lock, for at most `timeout`.
pub fn wait_while_locked<T>(
    database: &Database,
    timeout: Duration,
    work: impl FnMut() -> Result<T>,
) -> Result<T> {
    Patience::new(timeout).until_unlocked(database, work)
}

/// Between half of `pause` and one and a half of it.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u8;
    pause / 2 + pause * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_varies_around_its_length() {
        let pause = Duration::from_millis(100);
        for _ in 0..1000 {
            assert!((50..=150).contains(&jittered(pause).as_millis()));
        }
    }
}
