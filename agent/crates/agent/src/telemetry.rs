//! The agent's own logs: `tracing`, as JSON or text, to stderr.
//!
//! The agent reads its own pod's log like any other. A line of ours per line of theirs would feed on itself, so every
//! place in the code that logs has a budget of lines: whatever happens, the agent writes no more than that, and
//! what it leaves out is counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::Log;

/// Lines that one place in the code may write in a [`WINDOW`].
const BURST: u32 = 20;
/// The span of time that the budget is for.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts the lines that were left out. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suppressed(Counter);

impl Suppressed {
    /// Registers the counter; `registry` has the prefix `hawsepipe`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "log_suppressed_lines",
            "Lines of the agent's own log that were left out because their place had written enough",
            self.0.clone(),
        );
    }
}

/// Sends the program's own logs to stderr.
///
/// # Errors
/// When logs go somewhere already.
pub(crate) fn init(log: Log) -> Result<Suppressed, TryInitError> {
    let suppressed = Suppressed::default();
    let budget = Budget { spent: Mutex::default(), suppressed: suppressed.clone() };
    let writer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Libraries have their own idea of what is worth a line: kube's client writes one a retry, and the whole body of an
    // answer that it cannot read. What a person should know of it, the cluster crate says.
    let ours = move |meta: &Metadata<'_>| {
        let limit = match meta.target() {
            target if target.starts_with("hawsepipe") => log.level,
            target if target.starts_with("kube_client") && log.level <= LevelFilter::INFO => {
                LevelFilter::OFF
            }
            _ => LevelFilter::WARN,
        };
        *meta.level() <= log.level.min(limit)
    };
    let layer = if log.json {
        writer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        writer.with_ansi(false).boxed()
    };
    let layer = layer.with_filter(budget).with_filter(filter_fn(ours));
    tracing_subscriber::registry().with(layer).try_init()?;
    Ok(suppressed)
}

/// Lets each place in the code write [`BURST`] lines a [`WINDOW`].
#[derive(Debug)]
struct Budget {
    /// By place: since when, and how many.
    spent: Mutex<HashMap<Identifier, (Instant, u32)>>,
    suppressed: Suppressed,
}

impl Budget {
    fn allows(&self, place: Identifier, now: Instant) -> bool {
        let mut spent = self.spent.lock();
        let (since, lines) = spent.entry(place).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *lines) = (now, 0);
        }
        *lines += 1;
        let allowed = *lines <= BURST;
        drop(spent);
        if !allowed {
            self.suppressed.0.inc();
        }
        allowed
    }
}

impl<S> Filter<S> for Budget {
    fn enabled(&self, _meta: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        self.allows(event.metadata().callsite(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::subscriber::with_default;

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_place_that_logs_without_end_writes_no_more_than_its_budget() {
        let (lines, suppressed) = (Lines::default(), Suppressed::default());
        let budget = Budget { spent: Mutex::default(), suppressed: suppressed.clone() };
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(budget));
        with_default(subscriber, || {
            for number in 0..1000 {
                tracing::warn!(number, "again and again");
            }
            tracing::warn!("another place");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert_eq!(text.matches("again and again").count(), BURST as usize);
        assert_eq!(text.matches("another place").count(), 1);
        assert_eq!(suppressed.0.get(), 1000 - u64::from(BURST));
    }

    #[test]
    fn the_budget_comes_back_with_time() {
        let budget = Budget { spent: Mutex::default(), suppressed: Suppressed::default() };
        let subscriber = tracing_subscriber::registry();
        let place = with_default(subscriber, || {
            // Any place will do.
            Identifier(&CALLSITE)
        });
        let start = Instant::now();
        for _ in 0..BURST {
            assert!(budget.allows(place.clone(), start));
        }
        assert!(!budget.allows(place.clone(), start));
        assert!(budget.allows(place, start + WINDOW));
    }

    struct Place;

    static CALLSITE: Place = Place;

    impl tracing::Callsite for Place {
        fn set_interest(&self, _interest: tracing::subscriber::Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("nobody asks")
        }
    }
}
