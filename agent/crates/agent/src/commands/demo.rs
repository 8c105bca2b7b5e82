//! `hawsepipe demo`: agent and receiver in this process, on a fresh key, in a temporary folder.
//!
//! In: this machine's own pods, if it has any, else three small workloads that write as a container runtime does.
//! Out: what flows, how to look at it, and at the end whether every line that was written was received, once and in
//! order. The metrics of this machine flow too. Always: nothing is left behind.

mod compare;
mod metrics;
mod workloads;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use hawsepipe_receive::{Receiver, Running, store};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::app::Agent;
use crate::commands::agent::Role;
use crate::commands::{print, stop_signal};
use crate::config::{Config, Log};
use crate::telemetry;
use workloads::Workloads;

/// Where the kubelet keeps the logs of pods.
const PODS_PATH: &str = "/var/log/pods";
/// How long the last lines may take to arrive.
const SETTLE: Duration = Duration::from_secs(30);
/// How often values of metrics are shown, in seconds.
const METRICS_EVERY: u64 = 5;
const STORE_BYTES: u64 = 1 << 30;
const STORE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Options of `hawsepipe demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Ends by itself after this many seconds; exit code 0 only if everything that was written was received.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// The folder of this machine's pods. Where it is empty or missing, three small workloads are played.
    #[arg(long, value_name = "DIR", default_value = PODS_PATH)]
    pods_path: PathBuf,
}

/// Where the lines come from.
enum Source {
    /// Pods of this machine.
    Own(PathBuf),
    /// What the demo writes itself.
    Played(Workloads),
}

/// Runs until Ctrl-C, or for `--seconds`.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let log = Log { level: tracing::level_filters::LevelFilter::WARN, json: false };
    let suppressed = telemetry::init(log)?;
    let stop = stop_signal()?;
    let folder = tempfile::Builder::new().prefix("hawsepipe-demo-").tempdir()?;
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, fresh_key()?)?;

    let receiver = Receiver::start(receiver_settings(folder.path(), &key_file)?).await?;
    let source = if has_pods(&args.pods_path) {
        Source::Own(args.pods_path)
    } else {
        Source::Played(Workloads::start(&folder.path().join("pods"))?)
    };
    let config = Config::parse(&config_text(folder.path(), &source, &receiver), &key_file)?;
    let agent = Agent::start(config, Role::Node, &suppressed).await?;
    print(&introduction(&source, &receiver, &agent, &key_file)?);

    let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let started = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = until(end) => break,
            _ = ticks.tick() => {
                print(&progress(started, &source, &agent, &receiver));
                if started.elapsed().as_secs().is_multiple_of(METRICS_EVERY) {
                    print(&metrics::line(&receiver).unwrap_or_default());
                }
            }
        }
    }
    print("\nstopping\n");
    let good = match source {
        Source::Own(_) => own_pods(agent, &receiver).await,
        Source::Played(workloads) => played(workloads, agent, &receiver, &key_file).await?,
    };
    print(&metrics::line(&receiver).unwrap_or_default());
    receiver.shutdown().await;
    folder.close().context("cannot remove the demo's folder")?;
    let asked = args.seconds.is_some();
    Ok(if good || !asked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn has_pods(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// 128 random bits, as text.
fn fresh_key() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn receiver_settings(
    folder: &Path,
    key_file: &Path,
) -> anyhow::Result<hawsepipe_receive::Settings> {
    let loopback = "127.0.0.1:0".parse()?;
    Ok(hawsepipe_receive::Settings {
        grpc: loopback,
        http: loopback,
        key_file: key_file.to_owned(),
        tls: None,
        store: store::Settings {
            path: folder.join("store"),
            max_bytes: STORE_BYTES,
            max_age: STORE_AGE,
        },
        max_message_bytes: hawsepipe_receive::DEFAULT_MAX_MESSAGE_BYTES,
    })
}

/// The agent's configuration, as an admin would write it.
fn config_text(folder: &Path, source: &Source, receiver: &Running) -> String {
    let (pods_path, start_at) = match source {
        Source::Own(path) => (path.as_path(), "new"),
        Source::Played(workloads) => (workloads.path(), "all"),
    };
    // It keeps a few megabytes for some minutes, and is to run on a laptop whose disk is nearly full too.
    format!(
        "
cluster: {{name: demo}}
destinations:
  receiver:
    type: otlp
    endpoint: \"http://{}\"
    auth: {{header: {}, keyFile: '{}'}}
    catchUp: inOrder
logs: {{podsPath: '{}', startAt: {start_at}}}
metrics: {{interval: 1s, collectors: {{cpu: {{metrics: {{system.cpu.utilization: true}}}}}}}}
heartbeats: {{enabled: false}}
kubernetes: {{source: none}}
spool: {{path: '{}', minFree: 0}}
admin: {{listen: \"127.0.0.1:0\"}}
",
        receiver.grpc_addr(),
        hawsepipe_receive::KEY_HEADER,
        folder.join("key").display(),
        pods_path.display(),
        folder.join("spool").display(),
    )
}

fn introduction(
    source: &Source,
    receiver: &Running,
    agent: &Agent,
    key_file: &Path,
) -> anyhow::Result<String> {
    let what = match source {
        Source::Own(path) => format!("this machine's pods below {}", path.display()),
        Source::Played(workloads) => format!(
            "three workloads below {}: web (rotates), worker (long lines in pieces), batch (pods \
             that live a second)",
            workloads.path().display()
        ),
    };
    let program = std::env::current_exe().context("cannot find this program's own path")?;
    Ok(format!(
        "
An agent reads {what}
and sends every line to a receiver on {}, with the metrics of this machine. Look at them from another terminal:

  export HAWSEPIPE_ENDPOINT=http://{} HAWSEPIPE_KEY_FILE={}
  {program} logs -A -f
  {program} status --admin {}
  {program} metrics

Ctrl-C ends both and removes everything.

",
        receiver.grpc_addr(),
        receiver.grpc_addr(),
        key_file.display(),
        agent.admin(),
        program = program.display(),
    ))
}

fn received(receiver: &Running) -> u64 {
    receiver.status().received.get("logs").map_or(0, |received| received.records)
}

fn progress(started: Instant, source: &Source, agent: &Agent, receiver: &Running) -> String {
    let written = match source {
        Source::Own(_) => String::new(),
        Source::Played(workloads) => format!("  written {:>7}", workloads.written()),
    };
    let (sent, received) = (sent(agent), received(receiver));
    let seconds = started.elapsed().as_secs();
    format!("{seconds:>5} s{written}  sent {sent:>7}  received {received:>7}\n")
}

fn sent(agent: &Agent) -> u64 {
    agent.destinations().iter().map(|status| status.records).sum()
}

/// Nobody knows what others wrote: what the agent read is compared with what was received.
async fn own_pods(agent: Agent, receiver: &Running) -> bool {
    let records = agent.record_counter();
    let complete = agent.stop().await;
    let (read, received) = (records(), received(receiver));
    let good = complete && read == received;
    let sign = if read == received { "=" } else { "!=" };
    print(&format!("read {read} {sign} received {received}\n"));
    good
}

async fn played(
    workloads: Workloads,
    agent: Agent,
    receiver: &Running,
    key_file: &Path,
) -> anyhow::Result<bool> {
    let written = workloads.finish().await;
    let total: u64 = written.values().sum();
    let deadline = Instant::now() + SETTLE;
    while received(receiver) < total && Instant::now() < deadline {
        sleep(Duration::from_millis(50)).await;
    }
    agent.stop().await;
    let found = compare::read_all(receiver.grpc_addr(), key_file).await?;
    let comparison = compare::compare(&written, &found);
    print(&comparison.to_string());
    Ok(comparison.is_equal())
}
