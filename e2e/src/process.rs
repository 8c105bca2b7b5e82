//! Processes that outlive this program (a cluster's components), remembered by id and start time.
//!
//! What always holds: a process is ended only when its id still has the start time that was noted
//! when it was started, so that an id used again by somebody else is never hit.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{cmd, wait};

/// A started process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    /// What it is, e.g. `kubelet`.
    pub(crate) name: String,
    /// Its id.
    pub(crate) pid: u32,
    /// Field 22 of /proc/PID/stat, clock ticks since boot (proc(5)).
    pub(crate) start_time: u64,
    /// /proc/sys/kernel/random/boot_id: start times of another boot mean nothing.
    pub(crate) boot_id: String,
}

impl Process {
    /// Starts a process in a session of its own, its output going to a file.
    pub(crate) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("{}", log.display()))?;
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                detached.env(key, value);
            }
        }
        let child = detached
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} cannot be started", cmd::show(command)))?;
        // setsid and nsenter replace themselves: the id stays, and so does the start time.
        let pid = child.id();
        let Some(stat) = Stat::read(pid) else {
            bail!("{name} ended at once, see {}", log.display())
        };
        Ok(Self { name: name.to_owned(), pid, start_time: stat.start_time, boot_id: boot_id() })
    }

    /// Whether the very process that was started still runs (a zombie does not).
    pub(crate) fn is_alive(&self) -> bool {
        self.boot_id == boot_id()
            && Stat::read(self.pid).is_some_and(|stat| {
                stat.start_time == self.start_time && !matches!(stat.state, 'Z' | 'X')
            })
    }

    /// Asks it to end, and ends it by force when it has not within `patience`.
    pub(crate) fn end(&self, patience: Duration) {
        if !self.is_alive() {
            return;
        }
        self.signal(Signal::TERM);
        if wait::until_true(&self.name, patience, || !self.is_alive()).is_err() {
            self.kill();
        }
    }

    /// Ends it by force and waits until it is gone.
    pub(crate) fn kill(&self) {
        if !self.is_alive() {
            return;
        }
        self.signal(Signal::KILL);
        if let Err(error) =
            wait::until_true("its end", Duration::from_secs(10), || !self.is_alive())
        {
            eprintln!("{} ({}): {error:#}", self.name, self.pid);
        }
    }

    /// Ends by force everything of the session that it leads, itself first.
    pub(crate) fn kill_session(&self) {
        // The session's id is used by nobody else while one of its processes is there.
        let members: Vec<u32> = all_pids()
            .into_iter()
            .filter(|pid| {
                Stat::read(*pid).is_some_and(|stat| {
                    stat.session == self.pid && stat.start_time >= self.start_time
                })
            })
            .collect();
        self.kill();
        if self.boot_id == boot_id() {
            members.into_iter().for_each(|pid| signal_pid(pid, Signal::KILL));
        }
    }

    fn signal(&self, signal: Signal) {
        signal_pid(self.pid, signal);
    }
}

/// What /proc/PID/stat says.
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: u32,
    pub(crate) session: u32,
    pub(crate) start_time: u64,
}

impl Stat {
    /// Reads it; none when there is no such process.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything, so count from its end (proc(5)).
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            session: fields.nth(1)?.parse().ok()?,
            start_time: fields.nth(15)?.parse().ok()?,
        })
    }
}

/// The ids of all processes.
pub(crate) fn all_pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A process and everything below it, parents first.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        all_pids().into_iter().filter_map(|pid| Some((pid, Stat::read(pid)?.parent))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Sends a signal; a process that is gone is no error.
pub(crate) fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether this program runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
