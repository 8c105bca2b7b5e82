//! What the pods of a Job say of it.
//!
//! In: its pods, as they appear and change. Out: when the first container ran, where the last lines of what failed are, and
//! what a pod waits for. Always: what was once known stays, also when the pod is gone.

use hawsepipe_cluster::objects::{
    ConditionStatus, ContainerState, ContainerStatus, Pod, RestartPolicy, Terminated,
};
use jiff::Timestamp;

use crate::heartbeats::Lines;

/// What the pods of a Job say of it.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// When the first container ran.
    pub(super) started: Option<Timestamp>,
    /// The container that failed last.
    pub(super) failed: Option<Failed>,
    /// Why a pod does not run yet, in one word: `Unschedulable`, `ImagePullBackOff`, ..; may be empty.
    pub(super) waiting: String,
}

/// A container that failed.
#[derive(Debug)]
pub(super) struct Failed {
    at: Option<Timestamp>,
    pub(super) lines: Lines,
    pub(super) exit_code: i64,
}

// === impl Pods ===

impl Pods {
    /// Takes what a pod says.
    pub(super) fn see(&mut self, pod: &Pod) {
        let status = &pod.status;
        for container in status.init_container_statuses.iter().chain(&status.container_statuses) {
            let starts = [runs(container).1, of(container.last_terminated.as_deref())];
            for start in starts.into_iter().flatten() {
                self.started = Some(self.started.map_or(start, |known| known.min(start)));
            }
            // A sidecar is ended by the kubelet when the others are through.
            if !is_sidecar(pod, &container.name) {
                let ends = [container.last_terminated.as_deref(), runs(container).0];
                ends.into_iter().flatten().for_each(|run| self.fail(pod, &container.name, run));
            }
        }
        self.waiting = waits_for(pod);
    }

    fn fail(&mut self, pod: &Pod, container: &str, run: &Terminated) {
        if run.exit_code == 0 && run.signal == 0 {
            return;
        }
        let at = run.finished_at.map(Timestamp::from);
        if self.failed.as_ref().is_none_or(|known| known.at < at) {
            let lines = Lines {
                pod: pod.metadata.name.to_string(),
                pod_uid: pod.metadata.uid.to_string(),
                container: container.to_owned(),
            };
            self.failed = Some(Failed { at, lines, exit_code: run.exit_code.into() });
        }
    }
}

/// How the container's run has ended, if it has, and when it began.
fn runs(container: &ContainerStatus) -> (Option<&Terminated>, Option<Timestamp>) {
    match &container.state {
        ContainerState::Waiting { .. } => (None, None),
        ContainerState::Running { started_at } => (None, started_at.map(Timestamp::from)),
        ContainerState::Terminated(run) => (Some(run), of(Some(run))),
    }
}

fn of(run: Option<&Terminated>) -> Option<Timestamp> {
    run?.started_at.map(Timestamp::from)
}

fn is_sidecar(pod: &Pod, name: &str) -> bool {
    let mut inits = pod.spec.init_containers.iter();
    inits.any(|init| init.name == *name && init.restart_policy == RestartPolicy::Always)
}

fn waits_for(pod: &Pod) -> String {
    let scheduled = pod.status.conditions.get("PodScheduled");
    if let Some(condition) = scheduled.filter(|it| it.status == ConditionStatus::False) {
        return condition.reason.to_string();
    }
    let mut all = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
    let waits = all.find_map(|container| match &container.state {
        ContainerState::Waiting { reason } => Some(reason.to_string()),
        _ => None,
    });
    waits.unwrap_or_default()
}
