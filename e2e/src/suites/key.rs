//! A wrong key: everything is held, the reason is said, and correcting the Secret is all it takes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::{self, Wanted, text};
use crate::release::{self, NAMESPACE, SECRET_SYNC};
use crate::wait;
use crate::workload::{self, Namespace, STAY, burst, container, pod_spec};

pub(crate) const SUITE: Suite = Suite {
    name: "key",
    promises: &[Promise {
        name: "a_wrong_key_holds_everything_and_says_so_until_the_secret_is_corrected",
        check: wrong_key,
    }],
};

fn wrong_key(cluster: &Cluster) -> Result<()> {
    let (right, wrong) = (release::random_key()?, release::random_key()?);
    release::load_image(cluster)?;
    release::uninstall(cluster)?;
    // It becomes ready all the same: a roll-out must not stop when buffering is what matters.
    release::install(cluster, &right, &wrong)?;
    let agent = release::agent_pod(cluster)?;
    let name = release::name(&agent);
    let namespace = Namespace::create(cluster, "key")?;
    let spec = pod_spec(&[container("c", &format!("{}; {STAY}", burst("held", 2_000)))]);
    namespace.apply(&[workload::pod("held", &json!({"waits": "yes"}), &spec)])?;

    wait::until(
        "/readyz and /status to say why",
        Duration::from_secs(60),
        Duration::from_secs(1),
        || {
            for page in ["readyz", "status"] {
                let body = release::admin(cluster, &name, page)?;
                ensure!(
                    names_the_key(&body),
                    "/{page} does not name the key as the reason: {body}"
                );
            }
            Ok(Some(()))
        },
    )?;
    // Long enough for several attempts: one line a problem, not one a retry.
    std::thread::sleep(Duration::from_secs(25));
    let log = cluster.kubectl(&["logs", "-n", NAMESPACE, &name])?;
    let lines: Vec<&str> =
        log.lines().filter(|line| is_warning(line) && names_the_key(line)).collect();
    ensure!(lines.len() == 1, "{} log lines say why, not one:\n{}", lines.len(), lines.join("\n"));
    println!("          the log says: {}", lines[0]);
    let held = received::read(cluster, &namespace.name, None)?;
    ensure!(held.is_empty(), "{} lines came through a wrong key", held.len());
    for key in [&right, &wrong] {
        nowhere(cluster, &name, key)?;
    }

    release::set_agent_key(cluster, &right)?;
    let wanted = Wanted { pod: "held", container: "c", restart: 0, stream: "stdout", pods: 1 };
    received::wait_complete(cluster, &namespace.name, &[wanted], SECRET_SYNC)?;
    let now = release::agent_pod(cluster)?;
    ensure!(release::uid(&now) == release::uid(&agent), "the agent's pod was replaced");
    let restarts = &now["status"]["containerStatuses"][0]["restartCount"];
    ensure!(restarts == 0, "the agent was restarted {restarts} times");
    wait::until(
        "/readyz to be content again",
        Duration::from_secs(30),
        Duration::from_secs(1),
        || {
            let body = release::admin(cluster, &name, "readyz")?;
            ensure!(!names_the_key(&body), "/readyz still says {body}");
            Ok(Some(()))
        },
    )?;
    for key in [&right, &wrong] {
        nowhere(cluster, &name, key)?;
    }
    Ok(())
}

/// Whether a text gives the key as the reason.
fn names_the_key(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("unauthenticated")
        || text.contains("wrong key")
        || text.contains("key was refused")
        || (text.contains("key")
            && (text.contains("reject") || text.contains("refuse") || text.contains("not accept")))
}

fn is_warning(line: &str) -> bool {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    matches!(text(&line["level"]).to_uppercase().as_str(), "WARN" | "ERROR")
}

/// The key's text is in no log, status, metric, event, description or process listing.
fn nowhere(cluster: &Cluster, agent: &str, key: &str) -> Result<()> {
    let mut places = Vec::new();
    for page in ["readyz", "healthz", "status", "metrics"] {
        places.push((format!("/{page}"), release::admin(cluster, agent, page)?));
    }
    for component in ["agent", "receiver"] {
        let label = format!("app.kubernetes.io/component={component}");
        let log = ["logs", "-n", NAMESPACE, "-l", &label, "--tail=-1"];
        places.push((format!("the log of the {component}"), cluster.kubectl(&log)?));
    }
    for query in [["describe", "pods"], ["get", "events"], ["describe", "configmaps"]] {
        let arguments = [&query[..], &["-n", NAMESPACE]].concat();
        places.push((query.join(" "), cluster.kubectl(&arguments)?));
    }
    let status = ["exec", "-n", NAMESPACE, agent, "--", "hawsepipe", "status"];
    places.push(("hawsepipe status".into(), cluster.kubectl(&status)?));
    // Command lines of everything on the node, environments of everything of ours.
    let listing = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; \
                   case \"$(cat $p/comm)\" in hawsepipe*) tr '\\0' ' ' < $p/environ;; esac; \
                   done 2>/dev/null || true";
    places.push(("the process listing".into(), cluster.node_shell(listing)?));
    for (place, content) in &places {
        ensure!(
            !content.is_empty() || place.contains("receiver"),
            "{place} is empty: nothing was checked"
        );
        ensure!(!content.contains(key), "the key is in {place}");
    }
    // The agents ship their own logs too.
    let shipped = received::read(cluster, NAMESPACE, None).context("our own pods' logs")?;
    ensure!(!shipped.iter().any(|record| record.body.contains(key)), "the key was shipped");
    Ok(())
}
