//! Several duties of one leader.

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Duty, Progress};

/// Several duties as one: all at work side by side while the lead is held, and how far each got kept together.
pub struct Duties {
    all: Vec<Arc<dyn Duty>>,
    /// How far the last leader got: what a duty says nothing of stays as it was.
    since: Mutex<Option<Progress>>,
}

impl Duties {
    /// These, in no order.
    #[must_use]
    pub fn new(all: Vec<Arc<dyn Duty>>) -> Self {
        Self { all, since: Mutex::default() }
    }
}

impl Duty for Duties {
    fn lead(&self, since: Option<Progress>, retire: CancellationToken) -> BoxFuture<'_, ()> {
        self.since.lock().clone_from(&since);
        let at_work = self.all.iter().map(|duty| duty.lead(since.clone(), retire.clone()));
        let at_work = join_all(at_work.collect::<Vec<_>>());
        Box::pin(async move {
            at_work.await;
        })
    }

    fn progress(&self) -> Option<Progress> {
        let said = self.all.iter().filter_map(|duty| duty.progress()).reduce(Progress::and)?;
        Some(match self.since.lock().clone() {
            Some(since) => said.and(since),
            None => said,
        })
    }
}
