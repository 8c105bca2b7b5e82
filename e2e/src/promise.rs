//! The runner: a promise is a sentence and a function that fails when it is broken.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::cluster::{Cluster, NotPossible};
use crate::{diagnose, suites};

/// One promise.
pub(crate) struct Promise {
    /// What holds, as a sentence with underscores.
    pub(crate) name: &'static str,
    /// Checks it. [`NotPossible`] counts as skipped, every other error as failed.
    pub(crate) check: fn(&Cluster) -> Result<()>,
}

/// Promises that share a release or workloads, run in order.
pub(crate) struct Suite {
    /// What `cargo e2e test` takes.
    pub(crate) name: &'static str,
    /// In the order in which they run.
    pub(crate) promises: &'static [Promise],
}

/// How it went.
#[derive(Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    /// One when something failed.
    pub(crate) fn code(&self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Counts one promise and prints how it went; [`NotPossible`] is skipped. True when it failed.
    pub(crate) fn count(&mut self, name: &str, result: &Result<()>, seconds: f64) -> bool {
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... ok ({seconds:.1} s)");
            }
            Err(error) => match error.downcast_ref::<NotPossible>() {
                Some(reason) => {
                    self.skipped += 1;
                    println!("test {name} ... skipped: {reason}");
                }
                None => {
                    self.failed += 1;
                    println!("test {name} ... FAILED ({seconds:.1} s)\n{error:#}");
                    return true;
                }
            },
        }
        false
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(formatter, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Prints all suites and promises.
pub(crate) fn list() {
    for suite in suites::ALL.iter().copied().flatten() {
        for promise in suite.promises {
            println!("{}::{}", suite.name, promise.name);
        }
    }
}

/// The suites of these names, in rows; all when there are none.
pub(crate) fn choose(names: &[String]) -> Result<Vec<Vec<&'static Suite>>> {
    let all = || suites::ALL.iter().copied().flatten();
    for name in names {
        if !all().any(|suite| suite.name == name) {
            let known: Vec<&str> = all().map(|suite| suite.name).collect();
            bail!("no suite {name}; there are {}", known.join(", "));
        }
    }
    let chosen = |suite: &&Suite| names.is_empty() || names.iter().any(|name| name == suite.name);
    Ok(suites::ALL.iter().map(|row| row.iter().filter(chosen).collect()).collect())
}

/// Runs them, those of a row side by side.
pub(crate) fn run(cluster: &Cluster, rows: &[Vec<&'static Suite>], fail_fast: bool) -> Tally {
    let mut tally = Tally::default();
    for row in rows {
        thread::scope(|scope| {
            let run = |suite: &'static Suite| {
                (suite, scope.spawn(|| run_suite(cluster, suite, fail_fast)))
            };
            let running: Vec<_> = row.iter().map(|suite| run(suite)).collect();
            for (suite, running) in running {
                tally += running.join().unwrap_or_else(|_panic| {
                    println!("test {} ... FAILED: it panicked", suite.name);
                    Tally { failed: 1, ..Tally::default() }
                });
            }
        });
        if fail_fast && tally.failed > 0 {
            break;
        }
    }
    tally
}

fn run_suite(cluster: &Cluster, suite: &Suite, fail_fast: bool) -> Tally {
    let mut tally = Tally::default();
    for promise in suite.promises {
        let name = format!("{}::{}", suite.name, promise.name);
        println!("test {name} ...");
        let started = Instant::now();
        let result = (promise.check)(cluster);
        if tally.count(&name, &result, started.elapsed().as_secs_f64()) {
            diagnose::print(cluster);
            if fail_fast {
                break;
            }
        }
    }
    tally
}
