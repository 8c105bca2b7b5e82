//! `hawsepipe check`: config, mounts, rights and destinations, each finding with its remedy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hawsepipe_cluster::Rights;
use hawsepipe_cluster::kubelet::KubeletSource;
use hawsepipe_collect::{Choice, CollectError, Need, Sources, reading};
use tokio::task::spawn_blocking;

use crate::app::{NOTHING_TO_DO, kubelet, try_spool};
use crate::commands::agent::Role;
use crate::commands::print;
use crate::config::{self, Metrics};

/// Options of `hawsepipe check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_CONFIG")]
    config: PathBuf,
    /// What the process does that is examined.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
}

/// What is printed, and whether all of it is well.
#[derive(Debug, Default)]
struct Report {
    examined: usize,
    findings: usize,
}

impl Report {
    fn good(&mut self, what: &str, message: &str) {
        self.examined += 1;
        print(&format!("ok       {what}: {message}\n"));
    }

    fn bad(&mut self, what: &str, message: &str) {
        self.examined += 1;
        self.findings += 1;
        print(&format!("FINDING  {what}: {message}\n"));
    }
}

/// Examines everything; exit code 1 when there are findings.
pub(crate) async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.role.load(&args.config)?;
    let mut report = Report::default();
    report.good("config", &format!("{} is well-formed", args.config.display()));
    if args.role.is_node() {
        check_logs(&config.logs.pods_path, &mut report);
        if let Some(metrics) = &config.metrics {
            check_metrics(metrics, &mut report).await?;
        }
    }
    // Without making it: a check changes nothing.
    let nearest = config.spool.path.ancestors().find(|path| path.exists());
    match try_spool(nearest.unwrap_or(&config.spool.path)) {
        Ok(()) => {
            report.good("spool.path", &format!("{} can be written", config.spool.path.display()));
        }
        Err(error) => report.bad("spool", &error.to_string()),
    }
    if config.kubernetes.is_some() {
        let leads = args.role.is_cluster() && config.has_duties();
        if args.role.is_cluster() && !leads {
            report.good("cluster", NOTHING_TO_DO);
        }
        let config::Leading { lease_namespace, lease_name, events, .. } = &config.leading;
        let rights = Rights {
            node: args.role.is_node(),
            lease: leads.then(|| (lease_namespace.clone(), lease_name.clone())),
            events: leads && events.is_some(),
            objects: if leads { config.object_kinds() } else { Vec::new() },
        };
        let findings = hawsepipe_cluster::check_rights(&rights).await;
        if findings.is_empty() {
            report.good(
                "kubernetes",
                "the API server answers and every right that is needed is given",
            );
        }
        for finding in findings {
            report.bad("kubernetes", &format!("{}; {}", finding.problem, finding.remedy));
        }
    }
    for destination in &config.destinations {
        for finding in hawsepipe_export::check(&destination.settings).await {
            let what = format!("destinations.{} {}", destination.name, finding.step);
            if finding.ok {
                report.good(&what, &finding.message);
            } else {
                report.bad(&what, &finding.message);
            }
        }
    }
    print(&format!("{} examined, {} findings\n", report.examined, report.findings));
    Ok(if report.findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the folder is there and its log files can be opened.
fn check_logs(root: &Path, report: &mut Report) {
    let what = "logs.podsPath";
    let pods = match std::fs::read_dir(root) {
        Ok(pods) => pods,
        Err(error) => {
            let remedy = "mount the node's folder there, or run where there is one";
            report.bad(what, &format!("cannot read {}: {error}; {remedy}", root.display()));
            return;
        }
    };
    let below = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let (mut readable, mut refused) = (0, None);
    let containers = pods.flatten().flat_map(|pod| below(pod.path()));
    for file in containers.flat_map(|container| below(container.path())) {
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(file.path()).is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        match std::fs::File::open(file.path()) {
            Ok(_) => readable += 1,
            // A file may go while it is looked at.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => refused = Some((file.path(), error)),
        }
    }
    match refused {
        Some((path, error)) => report.bad(
            what,
            &format!(
                "cannot read {}: {error}; run as the user that owns it, or with the capability \
                 DAC_READ_SEARCH",
                path.display()
            ),
        ),
        None => report.good(what, &format!("{} holds {readable} readable files", root.display())),
    }
}

/// Whether what the collectors need is mounted, and whether they can read it.
async fn check_metrics(metrics: &Metrics, report: &mut Report) -> anyhow::Result<()> {
    let mut choices = metrics.of_node.clone();
    for need in [Need::Proc, Need::Sys, Need::Root] {
        let needs = |choice: &Choice| choice.collector.needs.contains(&need);
        let who: Vec<_> = choices.iter().filter(|choice| needs(choice)).collect();
        let who: Vec<_> = who.into_iter().map(|choice| choice.collector.name).collect();
        let who = who.join(", ");
        if who.is_empty() {
            continue;
        }
        let Some(path) = need.place(&metrics.host) else {
            report.good(need.key(), &format!("is empty; not collected: {who}"));
            choices.retain(|choice| !needs(choice));
            continue;
        };
        if need.is_there(&metrics.host) {
            report.good(need.key(), &format!("{} is the node's {need}, for {who}", path.display()));
            continue;
        }
        report.bad(
            need.key(),
            &format!(
                "{} is not the node's {need}, needed by {who}; mount it there, read-only (the chart does), or switch \
                 off in metrics.collectors what needs it",
                path.display()
            ),
        );
        choices.retain(|choice| !needs(choice));
    }
    let sources = Sources::new(metrics.host.clone())
        .with_kubelet(kubelet(metrics, None).map(|it| it as Arc<dyn KubeletSource>));
    let read = spawn_blocking(move || reading::read(sources, &choices, Duration::ZERO)).await?;
    for reading in read {
        let what = format!("metrics.collectors.{}", reading.collector.name);
        match reading.problem {
            None => report.good(&what, &format!("reads {} points", reading.points.len())),
            Some(CollectError::Unavailable(reason)) => {
                report.good(&what, &format!("tells nothing: {reason}"))
            }
            Some(problem) => report.bad(
                &what,
                &format!("{problem}; make it readable for this user, or set {what}.enabled: false"),
            ),
        }
    }
    Ok(())
}
