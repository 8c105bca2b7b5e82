//! The command, as it would run without us.
//!
//! In: a command and its arguments. Out: how it ended. Always: its input, output and ignored signals are ours, untouched; what
//! is sent to us goes on to it, and we stay until it ends.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What is handed on. A terminal sends the first three to the command itself: it is in the same group of processes.
const FORWARDED: [Signal; 6] =
    [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM, Signal::USR1, Signal::USR2];
const FROM_TERMINAL: usize = 3;

/// How a command ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exit {
        code: u8,
        after: Duration,
    },
    Signal {
        number: u8,
        after: Duration,
    },
    /// It could not be run; the code is a shell's.
    NotRun {
        code: u8,
        reason: String,
    },
}

/// A command that runs.
pub(super) struct Running {
    child: Child,
    signals: mpsc::UnboundedReceiver<Signal>,
    begun: Instant,
}

impl Ended {
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Exit { code: 0, .. })
    }

    /// What we exit with.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Exit { code, .. } | Self::NotRun { code, .. } => *code,
            Self::Signal { number, .. } => number.wrapping_add(128),
        }
    }
}

/// Starts it.
pub(super) fn start(command: &[OsString]) -> Result<Running, Ended> {
    // Before it runs: what comes in between would end us and leave it alone.
    let signals = catch();
    let Some((program, args)) = command.split_first() else {
        return Err(Ended::NotRun { code: 127, reason: "there is no command".to_owned() });
    };
    let child = Command::new(program).args(args).spawn().map_err(|error| {
        let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
        let reason = format!("cannot run {}: {error}", program.display());
        Ended::NotRun { code, reason }
    })?;
    Ok(Running { child, signals, begun: Instant::now() })
}

/// Waits for its end, and hands signals on meanwhile.
pub(super) async fn wait(started: Result<Running, Ended>) -> Ended {
    let Running { mut child, mut signals, begun } = match started {
        Ok(running) => running,
        Err(ended) => return ended,
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = signals.recv() => {
                // Without an id it has ended, and the next turn says so.
                let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
                if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
                    super::complain(&format!("cannot hand on {signal:?}: {error}"));
                }
            }
        }
    };
    let after = begun.elapsed();
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exit { code: byte(code), after },
            (None, number) => Ended::Signal { number: byte(number.unwrap_or_default()), after },
        },
        Err(error) => {
            Ended::NotRun { code: 126, reason: format!("cannot wait for the command: {error}") }
        }
    }
}

/// Catches what is to be handed on. What is ignored (`nohup`, a shell's `&`) stays so: the command inherits it.
fn catch() -> mpsc::UnboundedReceiver<Signal> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    let from_terminal = std::io::stdin().is_terminal();
    for (at, handed) in FORWARDED.into_iter().enumerate() {
        if ignored & (1 << (handed.as_raw() - 1)) != 0 {
            continue;
        }
        // Caught in any case: it must not end us before the command.
        let Ok(mut caught) = signal(SignalKind::from_raw(handed.as_raw())) else { continue };
        let sender = sender.clone();
        let is_forwarded = !from_terminal || at >= FROM_TERMINAL;
        tokio::spawn(async move {
            while caught.recv().await.is_some() {
                if is_forwarded && sender.send(handed).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// The mask of ignored signals (proc_pid_status(5), `SigIgn`); bit 0 is signal 1.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask_of_the_process() {
        let hup = 1 << (Signal::HUP.as_raw() - 1);
        assert_eq!(ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\n"), hup);
        assert_eq!(ignored("Name:\tx\n"), 0);
    }

    #[test]
    fn a_signal_s_death_is_told_as_a_shell_tells_it() {
        let after = Duration::ZERO;
        assert_eq!(Ended::Signal { number: 15, after }.code(), 143);
        assert!(!Ended::Exit { code: 3, after }.is_success());
    }
}
