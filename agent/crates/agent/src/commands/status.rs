//! `hawsepipe status`: what the agent on this node is doing, and what it lost, from its admin port.

mod losses;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::commands::print;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 16 << 20;

/// Options of `hawsepipe status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The agent's admin port, HOST:PORT. Default: the config's, else 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// The agent's configuration, for its admin port.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_CONFIG")]
    config: Option<PathBuf>,
    /// Prints the answer as it came.
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let address = match (args.admin, args.config) {
        (Some(address), _) => {
            address.trim_start_matches("http://").trim_end_matches('/').to_owned()
        }
        (None, Some(path)) => reachable(Config::load(&path)?.admin).to_string(),
        (None, None) => "127.0.0.1:9464".to_owned(),
    };
    let asked = tokio::time::timeout(TIMEOUT, get(&address, "/status")).await;
    let answer =
        asked.context("no answer in time").and_then(|answer| answer).with_context(|| {
            format!("cannot ask the agent at {address}; does it run, and is that its admin.listen?")
        })?;
    let status: Value = serde_json::from_slice(&answer)
        .with_context(|| format!("{address} does not answer as an agent does"))?;
    if args.json {
        print(&format!("{status:#}\n"));
    } else {
        print(&readable(status));
    }
    Ok(ExitCode::SUCCESS)
}

/// An address to connect to, where the config names one to listen on.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn get(address: &str, path: &str) -> anyhow::Result<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, address)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    if !status.is_success() {
        bail!("it answers {status}");
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| anyhow::anyhow!(error))
}

/// For people: what the agent is doing, then what it lost.
fn readable(mut status: Value) -> String {
    let mut text = String::new();
    let table = status.get("losses").and_then(losses::table);
    if table.is_some()
        && let Some(map) = status.as_object_mut()
    {
        map.remove("losses");
    }
    describe(&status, 0, &mut text);
    text.push_str(&table.unwrap_or_default());
    text
}

/// Every value by its name, what belongs together indented.
fn describe(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        match value {
            Value::Object(_) => {
                out.push_str(&format!("{indent}{key}:\n"));
                describe(value, depth + 1, out);
            }
            Value::Array(list) => {
                out.push_str(&format!("{indent}{key}:\n"));
                for (index, item) in list.iter().enumerate() {
                    if item.is_object() {
                        if index > 0 {
                            out.push('\n');
                        }
                        describe(item, depth + 1, out);
                    } else {
                        out.push_str(&format!("{indent}  {}\n", plain(item)));
                    }
                }
            }
            Value::Null => {}
            other => out.push_str(&format!("{indent}{key}: {}\n", plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn losses_are_told_last_as_a_table_and_all_else_by_its_name() {
        let spool =
            json!({"files": {"frames": 3, "segments": 1}, "problems": ["the disk is full"]});
        let text = readable(json!({"losses": [], "spool": spool, "version": "1"}));
        let expected = "\
spool:
  files:
    frames: 3
    segments: 1
  problems:
    the disk is full
version: 1
nothing was lost
";
        assert_eq!(text, expected);
    }

    #[test]
    fn losses_in_a_form_that_is_not_known_are_shown_all_the_same() {
        let text = readable(json!({"losses": {"shop": 3}}));
        assert_eq!(text, "losses:\n  shop: 3\n");
        assert_eq!(readable(json!({"version": "1"})), "version: 1\n", "an agent without a ledger");
    }
}
