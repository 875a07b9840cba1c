//! Waiting for another connection's lock, beyond what the host's own busy handler does.

use std::time::{Duration, Instant};

use super::Database;
use crate::error::Result;

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Runs `work` until it does not fail for a lock, for at most `timeout`; an interrupt ends the wait.
///
/// The pauses grow and are jittered, so that several writers do not meet again and again.
pub fn wait_while_locked<T>(
    database: &Database,
    timeout: Duration,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match work() {
            Err(error) if error.is_locked() => {
                let left = timeout.saturating_sub(started.elapsed());
                if left.is_zero() {
                    return Err(error.context(format!(
                        "another connection held its lock for all of busy_timeout_ms = {}; run it again, \
                         or wait longer with anomaly_config('busy_timeout_ms', …)",
                        timeout.as_millis()
                    )));
                }
                database.check_interrupt()?;
                std::thread::sleep(jittered(pause).min(left));
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            }
            outcome => return outcome,
        }
    }
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
