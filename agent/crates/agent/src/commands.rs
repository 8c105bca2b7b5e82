//! One file a subcommand.

pub(crate) mod agent;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod heartbeat;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod receive;
pub(crate) mod status;

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Prints what was asked for. A reader that went away (`| head`) is no error: there is nobody to tell.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Says what went wrong, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Typed errors say their causes themselves.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    drop(writeln!(std::io::stderr(), "hawsepipe: {text}"));
}

/// Cancelled at SIGTERM or SIGINT; the process ends at once at the second one.
///
/// # Errors
/// When the signals cannot be caught.
pub(crate) fn stop_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let caught = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if caught.is_cancelled() {
                // 128 + SIGINT, as a shell says of a process that a signal ended.
                std::process::exit(130);
            }
            caught.cancel();
        }
    });
    Ok(stop)
}
