//! One round: the collectors that are due, read one after the other, and a second worker for the rest when one hangs.
//!
//! In: the due collectors, a [`Tick`]. Out: their points, written. Always: a collector that hangs (a dead NFS server,
//! a disk that does not answer) holds up nobody but itself: what others have read is sent, its own points follow when
//! it has them. In the usual case there is one worker and one frame.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::collector::{Collect, CollectError};
use crate::counters::Counters;
use crate::health::Health;
use crate::metrics::{Metrics, Of};
use crate::points::Points;
use crate::settings::Choice;
use crate::tick::{Sources, Tick, now_unix_nano};
use crate::writer::{Outlet, Writer};

/// A collector that takes longer is left to its worker, and another worker takes the rest.
const PATIENCE: Duration = Duration::from_millis(500);

/// A chosen collector.
pub(crate) struct Member {
    pub(crate) choice: Choice,
    pub(crate) health: Mutex<Health>,
    /// Away while it reads.
    body: Mutex<Option<Body>>,
}

/// What a collector needs to read.
pub(crate) struct Body {
    state: Box<dyn Collect>,
    pub(crate) points: Points,
    counters: Counters,
}

impl Member {
    pub(crate) fn new(choice: Choice, metrics: &Metrics) -> Self {
        metrics.begin(choice.collector.name);
        let health = Mutex::new(Health::new(choice.collector.name, choice.interval));
        let body = Mutex::new(Some(Body::new(&choice)));
        Self { choice, health, body }
    }
}

impl Body {
    pub(crate) fn new(choice: &Choice) -> Self {
        Self {
            state: (choice.collector.new)(&choice.options),
            points: Points::new(choice.collector, choice.wanted.clone()),
            counters: Counters::default(),
        }
    }

    /// Whether there is more to read in this tick.
    pub(crate) fn more(&self) -> bool {
        self.state.more()
    }

    /// Reads once. A collector that panics has failed, and begins anew.
    pub(crate) fn read(&mut self, choice: &Choice, tick: &Tick) -> Result<(), CollectError> {
        self.points.begin(now_unix_nano(), tick.sources().boot_unix_nano());
        let (state, points) = (&mut self.state, &mut self.points);
        let read = catch_unwind(AssertUnwindSafe(|| state.collect(tick, points)));
        let outcome = read.unwrap_or_else(|_panic| {
            self.state = (choice.collector.new)(&choice.options);
            Err(CollectError::Failed("it panicked; this is a defect of ours".to_owned()))
        });
        self.counters.settle(&mut self.points);
        // What is told first is what the rest depends on.
        outcome.and(self.points.problems().first().map_or(Ok(()), |problem| Err(problem.clone())))
    }
}

/// Collectors that are due now.
pub(crate) struct Round {
    tick: Tick,
    outlet: Arc<Outlet>,
    queue: Mutex<VecDeque<(Arc<Member>, Body)>>,
    /// Collectors that have not read yet, or are reading.
    left: AtomicUsize,
    /// What was read so far; `None` when it was sent.
    gathered: Mutex<Option<Writer>>,
}

impl Round {
    /// A round of `due`. Who still reads from an earlier round is left out, and that is counted.
    pub(crate) fn new(
        sources: Arc<Sources>,
        outlet: Arc<Outlet>,
        due: impl Iterator<Item = Arc<Member>>,
    ) -> Self {
        let mut queue = VecDeque::new();
        for member in due {
            let body = member.body.lock().take();
            match body {
                Some(body) => queue.push_back((member, body)),
                None => {
                    member.health.lock().skipped();
                    let collector = member.choice.collector.name;
                    outlet.metrics.skipped.get_or_create(&Of { collector }).inc();
                }
            }
        }
        Self {
            tick: Tick::new(sources),
            outlet,
            left: AtomicUsize::new(queue.len()),
            queue: Mutex::new(queue),
            gathered: Mutex::new(Some(Writer::default())),
        }
    }

    /// Reads, and returns when everything is sent that does not hang.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let worker = Arc::clone(&self);
            let working = spawn_blocking(move || worker.work());
            if self.goes_on(working).await || self.queue.lock().is_empty() {
                break;
            }
        }
        if self.left.load(Ordering::Acquire) > 0 {
            // One hangs. What the others have read goes out without it. It is not joined only when the runtime ends.
            drop(spawn_blocking(move || self.send()).await);
        }
    }

    /// Waits for a worker to end; false when it makes no progress.
    async fn goes_on(&self, mut working: JoinHandle<()>) -> bool {
        let mut seen = self.left.load(Ordering::Acquire);
        while tokio::time::timeout(PATIENCE, &mut working).await.is_err() {
            let left = self.left.load(Ordering::Acquire);
            if left == seen {
                return false;
            }
            seen = left;
        }
        true
    }

    /// Reads what nobody else reads, until there is nothing.
    fn work(&self) {
        loop {
            let next = self.queue.lock().pop_front();
            let Some((member, mut body)) = next else { return };
            self.read(&member, &mut body);
            *member.body.lock() = Some(body);
            if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.send();
            }
        }
    }

    fn read(&self, member: &Member, body: &mut Body) {
        member.health.lock().begun();
        let (mut took, mut points, mut outcome) = (Duration::ZERO, 0, Ok(()));
        loop {
            let begun = Instant::now();
            outcome = outcome.and(body.read(&member.choice, &self.tick));
            took += begun.elapsed();
            points += body.points.len();
            if !body.more() {
                break;
            }
            self.write(&body.points);
        }
        let failed = member.health.lock().ended(took, points, outcome.as_ref().copied());
        let of = Of { collector: member.choice.collector.name };
        let metrics = &self.outlet.metrics;
        metrics.runs.get_or_create(&of).inc();
        metrics.errors.get_or_create(&of).inc_by(u64::from(failed));
        metrics.points.get_or_create(&of).inc_by(points as u64);
        metrics.seconds.get_or_create(&of).inc_by(took.as_secs_f64());
        self.write(&body.points);
    }

    fn write(&self, points: &Points) {
        let (sources, outlet) = (self.tick.sources(), &*self.outlet);
        let mut gathered = self.gathered.lock();
        if let Some(writer) = &mut *gathered {
            writer.write(points, sources, outlet);
            return;
        }
        drop(gathered);
        // The others have gone already.
        let mut writer = Writer::default();
        writer.write(points, sources, outlet);
        writer.send(outlet);
    }

    fn send(&self) {
        if let Some(mut writer) = self.gathered.lock().take() {
            writer.send(&self.outlet);
        }
    }
}
