//! Waiting for a condition, with a deadline: timing never decides a test.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks every `every` until the answer is `Ok(Some(..))`. At the deadline the error says what was
/// waited for and what the last attempt saw (`Ok(None)` or its error).
pub(crate) fn until<T>(
    what: &str,
    deadline: Duration,
    every: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let last = match attempt() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => String::from("not yet"),
            Err(error) => format!("{error:#}"),
        };
        if started.elapsed() >= deadline {
            bail!("waited {} s for {what}; last: {last}", deadline.as_secs());
        }
        thread::sleep(every);
    }
}

/// [`until`] for a condition without a value, asked five times a second.
pub(crate) fn until_true(
    what: &str,
    deadline: Duration,
    mut holds: impl FnMut() -> bool,
) -> Result<()> {
    until(what, deadline, Duration::from_millis(200), || Ok(holds().then_some(())))
}

/// Runs a step and prints how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = work();
    let mark = if result.is_ok() { "" } else { "  FAILED" };
    println!("{:>7.1} s  {name}{mark}", started.elapsed().as_secs_f64());
    result
}
