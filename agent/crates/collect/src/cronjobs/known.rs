//! What is known of all CronJobs and Jobs in a term, and what of it was told.
//!
//! In: the changes of the store's objects, and the time. Out: the heartbeats that are due, each with whose it is. Always: nothing is
//! told before all objects are known, so that what is only not listed yet is not missed; of what was told in an earlier term
//! only the last minute may be told again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hawsepipe_cluster::objects::{
    Cause, Change, CronJob, Job, Object, ObjectKind, ObjectStore, ObjectWatcher, Pod, Uid,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use super::missed::{is_certain, is_last, tell};
use super::plan::Plan;
use super::pods::Pods;
use super::run::{Beside, Gone, Run};
use super::tallies::Tally;
use super::whose::Whose;
use crate::heartbeats::{DEFAULT_GRACE, Heartbeat};

/// Jobs that are gone and of which something is to be told, at most; of more, the oldest are not told.
const MAX_GONE: usize = 10_000;

/// A heartbeat that is due.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) whose: Whose,
    pub(super) heartbeat: Heartbeat,
}

/// What is known in a term.
#[derive(Debug)]
pub(super) struct Known(Mutex<Facts>);

#[derive(Debug)]
struct Facts {
    /// Up to here everything was told before this term; `None`: nothing ever was.
    since: Option<Timestamp>,
    /// Since when all objects are known.
    known_since: Option<Timestamp>,
    cronjobs: HashMap<Uid, Arc<CronJob>>,
    plans: HashMap<Uid, Plan>,
    runs: HashMap<Uid, Run>,
    /// By the Job's UID.
    pods: HashMap<Uid, Pods>,
    /// Jobs that are gone, the oldest first.
    gone: VecDeque<Uid>,
    /// By the UID of the CronJob, else of the Job.
    tallies: HashMap<Uid, Tally>,
    /// Of Jobs that were gone before there was room.
    dropped: Counter,
}

/// Which kinds are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds {
    /// Whatever is to be known is known.
    pub(super) is_settled: bool,
    pub(super) jobs: bool,
    pub(super) pods: bool,
}

// === impl Kinds ===

impl Kinds {
    /// As the store has them. One that is switched off is not waited for.
    pub(super) fn of(store: &ObjectStore) -> Self {
        let status = store.status();
        let is_off = |kind: ObjectKind| {
            status.kinds.get(kind.resource()).is_some_and(|status| status.off.is_some())
        };
        let is_settled = |kind: &ObjectKind| store.is_synced(*kind) || is_off(*kind);
        Self {
            is_settled: super::KINDS.iter().all(is_settled),
            jobs: store.is_synced(ObjectKind::Jobs),
            pods: store.is_synced(ObjectKind::Pods),
        }
    }
}

// === impl Known ===

impl Known {
    /// Everything up to `since` was told before.
    pub(super) fn new(since: Option<Timestamp>, dropped: Counter) -> Self {
        Self(Mutex::new(Facts {
            since,
            known_since: None,
            cronjobs: HashMap::new(),
            plans: HashMap::new(),
            runs: HashMap::new(),
            pods: HashMap::new(),
            gone: VecDeque::new(),
            tallies: HashMap::new(),
            dropped,
        }))
    }

    /// The heartbeats that are due at `now`, the oldest first. `None`: not all objects are known yet.
    pub(super) fn look(&self, kinds: Kinds, now: Timestamp) -> Option<Vec<Due>> {
        let mut facts = self.0.lock();
        if facts.known_since.is_none() && !kinds.is_settled {
            return None;
        }
        let mut due = facts.look(kinds, now);
        due.sort_by_key(|due| due.heartbeat.time);
        facts.count(&due);
        Some(due)
    }

    /// CronJobs whose schedule cannot be read.
    pub(super) fn unknown(&self) -> usize {
        self.0.lock().plans.values().filter(|plan| plan.is_unknown()).count()
    }

    /// Each job, and since when it is counted.
    pub(super) fn tallies(&self) -> Vec<(Tally, Timestamp)> {
        let facts = self.0.lock();
        let Some(since) = facts.known_since else { return Vec::new() };
        let mut tallies = facts.tallies.clone();
        for (uid, cronjob) in &facts.cronjobs {
            let new = || Tally::of(Whose::cronjob(cronjob));
            let tally = tallies.entry(uid.clone()).or_insert_with(new);
            let last = cronjob.status.last_successful_time.map(Timestamp::from);
            tally.last_success = tally.last_success.max(last);
        }
        for run in facts.runs.values().filter(|run| run.is_open()) {
            let whose = Whose::run(run).all_runs();
            let tally = tallies.entry(whose.uid()).or_insert_with(|| Tally::of(whose));
            tally.active += 1;
        }
        tallies.into_values().map(|tally| (tally, since)).collect()
    }
}

impl ObjectWatcher for Known {
    fn changed(&self, change: &Change<'_>) {
        let is_gone = change.after.is_none();
        let mut facts = self.0.lock();
        match change.after.or(change.before) {
            Some(Object::CronJob(cronjob)) => facts.see_cronjob(cronjob, is_gone),
            Some(Object::Job(job)) => {
                let gone = match change.cause {
                    Cause::Watched => Gone::Deleted,
                    Cause::Listed => Gone::Unseen,
                };
                facts.see_job(job, is_gone.then_some(gone));
            }
            Some(Object::Pod(pod)) => facts.see_pod(pod, is_gone),
            _ => {}
        }
    }
}

// === impl Facts ===

impl Facts {
    fn see_cronjob(&mut self, cronjob: &Arc<CronJob>, is_gone: bool) {
        let uid = &cronjob.metadata.uid;
        if is_gone {
            self.cronjobs.remove(uid);
            self.plans.remove(uid);
        } else {
            self.cronjobs.insert(uid.clone(), Arc::clone(cronjob));
        }
    }

    fn see_job(&mut self, job: &Arc<Job>, gone: Option<Gone>) {
        let uid = &job.metadata.uid;
        let run = self.runs.entry(uid.clone()).or_insert_with(|| Run::new(Arc::clone(job)));
        run.job = Arc::clone(job);
        run.gone = gone;
        if gone.is_some() {
            self.gone.push_back(uid.clone());
        }
        if self.gone.len() > MAX_GONE
            && let Some(oldest) = self.gone.pop_front()
            && self.forget(&oldest)
        {
            self.dropped.inc();
        }
    }

    fn see_pod(&mut self, pod: &Pod, is_gone: bool) {
        let Some(job) = pod.metadata.owner_of_kind("Job") else { return };
        self.pods.entry(job.uid.clone()).or_default().see(pod);
        // Pods go after their Job.
        if is_gone && !self.runs.contains_key(&job.uid) {
            self.pods.remove(&job.uid);
        }
    }

    fn forget(&mut self, job: &Uid) -> bool {
        self.pods.remove(job);
        self.runs.remove(job).is_some()
    }

    fn look(&mut self, kinds: Kinds, now: Timestamp) -> Vec<Due> {
        self.plan(now);
        if self.known_since.is_none() {
            self.known_since = Some(now);
            let since = self.since;
            self.each_run(kinds, now, |run, beside| run.take_up(since, beside));
        }
        for run in self.runs.values() {
            served(&mut self.plans, run);
        }
        let mut due = if kinds.jobs { self.missed(now) } else { Vec::new() };
        self.each_run(kinds, now, |run, beside| {
            let told = run.look(beside);
            let whose = (!told.is_empty()).then(|| Whose::run(run));
            let told = whose.into_iter().cycle().zip(told);
            due.extend(told.map(|(whose, heartbeat)| Due { whose, heartbeat }));
        });
        self.runs.retain(|uid, run| {
            let is_over = run.is_over();
            if is_over {
                self.pods.remove(uid);
            }
            !is_over
        });
        self.gone.retain(|uid| self.runs.contains_key(uid));
        due
    }

    /// Counts what is told; what is gone is forgotten.
    fn count(&mut self, due: &[Due]) {
        let (cronjobs, runs) = (&self.cronjobs, &self.runs);
        self.tallies.retain(|uid, _| cronjobs.contains_key(uid) || runs.contains_key(uid));
        for Due { whose, heartbeat } in due {
            let whose = whose.clone().all_runs();
            let uid = whose.uid();
            if cronjobs.contains_key(&uid) || runs.contains_key(&uid) {
                self.tallies.entry(uid).or_insert_with(|| Tally::of(whose)).see(heartbeat);
            }
        }
    }

    /// Each CronJob as it is now.
    fn plan(&mut self, now: Timestamp) {
        for (uid, cronjob) in &self.cronjobs {
            match self.plans.get_mut(uid) {
                Some(plan) if Arc::ptr_eq(&plan.cronjob, cronjob) => {}
                Some(plan) => plan.change(Arc::clone(cronjob), now),
                None => {
                    // What was clear by then was told, or is nobody's.
                    let told = match (self.known_since, self.since) {
                        (None, None) => None,
                        (None, Some(since)) => Some(since),
                        (Some(_), _) => Some(now),
                    };
                    let plan = Plan::new(Arc::clone(cronjob), told, now);
                    self.plans.insert(uid.clone(), plan);
                }
            }
        }
    }

    fn each_run(
        &mut self,
        kinds: Kinds,
        now: Timestamp,
        mut look: impl FnMut(&mut Run, &Beside<'_>),
    ) {
        for (uid, run) in &mut self.runs {
            let was_missed = !served(&mut self.plans, run);
            let plan = run.cronjob().and_then(|cronjob| self.plans.get(&cronjob.uid));
            let beside = Beside {
                now,
                pods: self.pods.get(uid),
                knows_pods: kinds.pods,
                grace: plan.map_or(DEFAULT_GRACE, Plan::grace),
                replaces: plan.is_some_and(Plan::replaces),
                was_missed,
            };
            look(run, &beside);
        }
    }

    /// The scheduled times that had no Job.
    fn missed(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        if !self.plans.values().any(|plan| plan.is_due(now)) {
            return due;
        }
        let mut by_cronjob = HashMap::<_, Vec<&Run>>::new();
        for run in self.runs.values() {
            if let Some(cronjob) = run.cronjob() {
                by_cronjob.entry(&cronjob.uid).or_default().push(run);
            }
        }
        let known_since = self.known_since.unwrap_or(now);
        for (uid, plan) in &mut self.plans {
            if !plan.is_due(now) {
                continue;
            }
            let runs = by_cronjob.get(uid).map(Vec::as_slice).unwrap_or_default();
            let cronjob = Arc::clone(&plan.cronjob);
            let counts =
                |scheduled| scheduled > known_since || is_certain(&cronjob, runs, scheduled);
            let missed = plan.look(now, |at| !is_last(&cronjob, at) && counts(at));
            due.extend(tell(plan, runs, missed, now));
        }
        due
    }
}

/// Whether the Job of this run was made in time.
fn served(plans: &mut HashMap<Uid, Plan>, run: &Run) -> bool {
    let plan = run.cronjob().and_then(|cronjob| plans.get_mut(&cronjob.uid));
    match (plan, run.scheduled(), run.created()) {
        (Some(plan), Some(scheduled), Some(created)) => plan.serve(scheduled, created),
        _ => true,
    }
}
