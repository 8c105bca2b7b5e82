//! What is done to the node while the pods write: each torment on a thread of its own, by a schedule
//! that the seed decides.
//!
//! What always holds: whoever takes something away gives it back, at the end and after an error too;
//! and what needs the API server waits until it is there.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use fastrand::Rng;

use crate::cluster::Cluster;
use crate::release::{NAMESPACE, RECEIVER_POD};
use crate::torture::place::Place;
use crate::torture::writers;
use crate::wait;
use crate::workload::Namespace;

/// A torment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Torment {
    /// The agent's process is killed, again and again
    Kills,
    /// The receiver is stopped for a while
    Receiver,
    /// The file system with the spool is full for a while
    Disk,
    /// The API server is away for a while
    Api,
    /// Pods live for a moment; others are deleted while they write
    Pods,
    /// The node's power is cut, again and again (only with --node power)
    Power,
}

/// Where and for how long.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: &'a Namespace<'a>,
    pub(crate) place: &'a Place<'a>,
    /// The node that is tormented.
    pub(crate) node: &'a str,
    /// Whether that one is slow.
    pub(crate) is_slow: bool,
    /// When the writers stop, in seconds since 1970.
    pub(crate) end: u64,
    /// Until when something is done.
    pub(crate) until: Instant,
    /// All of it.
    pub(crate) whole: Duration,
}

/// How often something was done, and for how long it lasted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// What, in words.
    pub(crate) what: &'static str,
    /// How often.
    pub(crate) times: u32,
    /// Seconds in which it was so.
    pub(crate) lasted: Duration,
}

/// Does all of these at the same time, until the end. Everything that was taken away is there again
/// afterwards.
pub(crate) fn run(stage: &Stage<'_>, torments: &[Torment], seed: u64) -> Result<Vec<Done>> {
    let shared = Shared { stop: AtomicBool::new(false), api: RwLock::new(()) };
    let results: Vec<Result<Done>> = thread::scope(|scope| {
        let started: Vec<_> = torments
            .iter()
            .map(|torment| {
                let player = Player { stage, shared: &shared };
                // Each its own numbers: one that is left out changes nothing for the others.
                let own = (*torment as u64 + 1).wrapping_mul(0x9e37_79b9);
                let mut random = Rng::with_seed(seed ^ own);
                scope.spawn(move || {
                    let result = player.play(*torment, &mut random);
                    if let Err(error) = &result {
                        println!("          {torment:?} failed: {error:#}");
                        player.shared.stop.store(true, Ordering::Relaxed);
                    }
                    result
                })
            })
            .collect();
        let end = |thread: thread::ScopedJoinHandle<'_, Result<Done>>| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a torment panicked"),
        };
        started.into_iter().map(end).collect()
    });
    let healed = heal(stage);
    let done = results.into_iter().collect::<Result<Vec<Done>>>()?;
    healed.context("healing")?;
    Ok(done)
}

/// Whatever happened: everything is there again.
fn heal(stage: &Stage<'_>) -> Result<()> {
    stage.place.free()?;
    if stage.is_slow {
        stage.cluster.restore_power()?;
    }
    stage.cluster.start_api_server()?;
    scale_receiver(stage.cluster, 1)
}

struct Shared {
    /// Set when one of them failed: the others need not go on.
    stop: AtomicBool,
    /// Read by whoever needs the API server, written by whoever takes it away.
    api: RwLock<()>,
}

struct Player<'a> {
    stage: &'a Stage<'a>,
    shared: &'a Shared,
}

impl Player<'_> {
    fn play(&self, torment: Torment, random: &mut Rng) -> Result<Done> {
        match torment {
            Torment::Kills => self.kills(random),
            Torment::Receiver => self.outages(
                random,
                "the receiver was stopped",
                |part| (part / 9, part / 6),
                || self.with_api(|| scale_receiver(self.stage.cluster, 0)),
                || self.with_api(|| scale_receiver(self.stage.cluster, 1)),
            ),
            Torment::Disk => self.outages(
                random,
                "the file system of the spool was full",
                |part| (part / 20, part / 10),
                || self.stage.place.fill(),
                || self.stage.place.free(),
            ),
            Torment::Api => {
                let held = RefCell::new(None);
                self.outages(
                    random,
                    "the API server was away",
                    |part| (part / 20, part / 10),
                    || {
                        let api = self.shared.api.write();
                        let api = api.unwrap_or_else(PoisonError::into_inner);
                        self.stage.cluster.stop_api_server()?;
                        held.replace(Some(api));
                        Ok(())
                    },
                    || {
                        let result = self.stage.cluster.start_api_server();
                        drop(held.take());
                        result
                    },
                )
            }
            Torment::Pods => self.pods(random),
            Torment::Power => self.power_cuts(random),
        }
    }

    /// Takes something away and gives it back, again and again; `bounds` says how short and how long
    /// it is away, given the length of the whole.
    fn outages(
        &self,
        random: &mut Rng,
        what: &'static str,
        bounds: impl Fn(Duration) -> (Duration, Duration),
        take: impl Fn() -> Result<()>,
        give: impl Fn() -> Result<()>,
    ) -> Result<Done> {
        const LONGEST: Duration = Duration::from_secs(180);
        let mut done = Done { what, ..Done::default() };
        let whole = self.stage.whole;
        let (shortest, longest) = bounds(whole);
        while self.sleep(between(random, whole / 10, whole / 5)) {
            let length = between(random, shortest, longest).min(LONGEST);
            let taken = take();
            let begun = Instant::now();
            if taken.is_ok() {
                self.sleep(length);
            }
            give().with_context(|| format!("after {what}"))?;
            taken.with_context(|| format!("before {what}"))?;
            done.times += 1;
            done.lasted += begun.elapsed();
        }
        Ok(done)
    }

    fn kills(&self, random: &mut Rng) -> Result<Done> {
        let mut done = Done { what: "the agent was killed", ..Done::default() };
        while self.sleep(between(random, Duration::from_secs(2), Duration::from_secs(10))) {
            // There is none when the kubelet has not started it again yet.
            done.times += self.stage.cluster.kill_agent()?;
        }
        Ok(done)
    }

    /// The node needs a while until its pods run again, and the API server for it; then they run.
    fn power_cuts(&self, random: &mut Rng) -> Result<Done> {
        let mut done = Done { what: "the power was cut", ..Done::default() };
        while self.sleep(between(random, Duration::from_secs(25), Duration::from_secs(75))) {
            let off = between(random, Duration::ZERO, Duration::from_secs(5));
            self.with_api(|| {
                let lives = self.lives()?;
                let begun = Instant::now();
                self.stage.cluster.cut_power()?;
                thread::sleep(off);
                self.stage.cluster.restore_power()?;
                let patience = Duration::from_secs(180);
                wait::until("the pods to run again", patience, Duration::from_secs(1), || {
                    Ok((self.lives()? > lives).then_some(()))
                })?;
                done.times += 1;
                done.lasted += begun.elapsed();
                Ok(())
            })?;
        }
        Ok(done)
    }

    /// How often the loudest pod was started.
    fn lives(&self) -> Result<Option<u64>> {
        let pod = self.stage.cluster.get(&["pod", "loud", "-n", &self.stage.namespace.name])?;
        let status = &pod["status"]["containerStatuses"][0];
        let running = !status["state"]["running"].is_null();
        Ok(status["restartCount"].as_u64().filter(|_| running))
    }

    fn pods(&self, random: &mut Rng) -> Result<Done> {
        let mut done = Done { what: "pods came or went", ..Done::default() };
        let Stage { cluster, namespace, node, is_slow, end, .. } = *self.stage;
        let slower = if is_slow { 5 } else { 1 };
        let mut victims = VecDeque::new();
        let mut number = 0;
        while self.sleep(between(
            random,
            Duration::from_secs(2) * slower,
            Duration::from_secs(8) * slower,
        )) {
            number += 1;
            let pod = if random.bool() {
                writers::short_lived(
                    &format!("short-{number}"),
                    node,
                    random.u64(20..4_000) / u64::from(slower),
                )
            } else {
                writers::victim(&format!("victim-{number}"), node, end, is_slow)
            };
            victims.push_back(crate::release::name(&pod));
            let gone = if victims.len() > 3 { victims.pop_front() } else { None };
            self.with_api(|| {
                namespace.apply(&[pod])?;
                let Some(gone) = &gone else { return Ok(()) };
                let delete = ["delete", "pod", gone, "-n", &namespace.name, "--wait=false"];
                cluster.kubectl(&delete).map(drop)
            })?;
            done.times += 1 + u32::from(gone.is_some());
        }
        Ok(done)
    }

    fn with_api<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _here = self.shared.api.read().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// False when it is over.
    fn sleep(&self, length: Duration) -> bool {
        let until = self.stage.until.min(Instant::now() + length);
        while Instant::now() < until {
            if self.shared.stop.load(Ordering::Relaxed) {
                return false;
            }
            thread::sleep(Duration::from_millis(100));
        }
        Instant::now() < self.stage.until
    }
}

fn between(random: &mut Rng, shortest: Duration, longest: Duration) -> Duration {
    let shortest = shortest.as_millis() as u64;
    Duration::from_millis(random.u64(shortest..=shortest.max(longest.as_millis() as u64)))
}

/// Stops the receiver's pod, or starts it and waits until it is ready. Its data stays.
fn scale_receiver(cluster: &Cluster, replicas: u32) -> Result<()> {
    let replicas_argument = format!("--replicas={replicas}");
    let scale = ["scale", "statefulset/hawsepipe-receiver", "-n", NAMESPACE, &replicas_argument];
    let patience = Duration::from_secs(300);
    let second = Duration::from_secs(1);
    // The API server may have come back a moment ago and know nobody yet.
    wait::until("the receiver to be scaled", patience, second, || {
        cluster.kubectl(&scale).map(Some)
    })?;
    wait::until("the receiver's pod", patience, second, || {
        let pod = ["get", "pod", RECEIVER_POD, "-n", NAMESPACE, "--ignore-not-found"];
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let found = cluster.kubectl(&[&pod[..], &["-o", ready]].concat())?;
        let there = if replicas == 0 { found.is_empty() } else { found == "True" };
        Ok(there.then_some(()))
    })
}
