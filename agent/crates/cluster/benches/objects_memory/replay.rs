//! An API server that gives the same pods and nodes to whoever asks, over HTTP.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

pub(crate) const NODES: usize = 5_000;
const NAMESPACES: usize = 200;
/// Pods of a deployment.
const REPLICAS: usize = 30;
/// The version of all that is served.
const VERSION: usize = 1_000_000;

/// What is replayed.
struct Replay {
    streamed: bool,
    pods: usize,
    pod: String,
    node: String,
    /// Watches behind a list; each kind's first is told that its version is too old.
    watches: [AtomicUsize; 2],
}

/// Serves until it is killed; says where on the standard output.
pub(crate) fn serve(streamed: bool, pods: usize) {
    let one_line = |text: &str| serde_json::from_str::<Value>(text).unwrap().to_string();
    let replay = Arc::new(Replay {
        streamed,
        pods,
        pod: one_line(include_str!("../../tests/fixtures/pod_whole.json")),
        node: one_line(include_str!("../../tests/fixtures/node_whole.json")),
        watches: Default::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let replay = Arc::clone(&replay);
        // Whoever has gone away is not served any more.
        thread::spawn(move || drop(replay.answer(&stream.unwrap())));
    }
}

impl Replay {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut input = BufReader::new(stream).lines();
        let mut output = BufWriter::with_capacity(1 << 16, stream);
        while let Some(line) = input.next() {
            let line = line?;
            while input.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
            let uri = line.split(' ').nth(1).unwrap_or_default();
            let of_pods = uri.starts_with("/api/v1/pods");
            let all = if of_pods { self.pods } else { NODES };
            let object = |at| if of_pods { self.pod(at) } else { self.node(at) };
            if !uri.contains("watch=true") {
                let from = uri.split("continue=").nth(1).and_then(|it| it.split('&').next());
                let from = from.map_or(0, |it| it.parse().unwrap());
                let to = all.min(from + 500);
                let items: Vec<_> = (from..to).map(object).collect();
                let next = if to < all { to.to_string() } else { String::new() };
                let meta = format!(r#"{{"resourceVersion":"{VERSION}","continue":"{next}"}}"#);
                let body =
                    format!(r#"{{"kind":"List","metadata":{meta},"items":[{}]}}"#, items.join(","));
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
                write!(output, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
                output.flush()?;
                continue;
            }
            let list = uri.contains("sendInitialEvents=true");
            if list && !self.streamed {
                let body = r#"{"kind":"Status","status":"Failure","reason":"Invalid","code":422}"#;
                let head = "HTTP/1.1 422 Unprocessable Entity\r\ncontent-type: application/json";
                write!(output, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
                output.flush()?;
                continue;
            }
            write!(output, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            if list {
                for at in 0..all {
                    chunk(&mut output, &format!(r#"{{"type":"ADDED","object":{}}}"#, object(at)))?;
                }
                let mark = r#"{"k8s.io/initial-events-end":"true"}"#;
                let meta = format!(r#"{{"resourceVersion":"{VERSION}","annotations":{mark}}}"#);
                let bookmark = format!(r#"{{"kind":"Any","apiVersion":"v1","metadata":{meta}}}"#);
                chunk(&mut output, &format!(r#"{{"type":"BOOKMARK","object":{bookmark}}}"#))?;
            }
            output.flush()?;
            if self.watches[usize::from(of_pods)].fetch_add(1, Ordering::Relaxed) == 0 {
                // Late enough for memory to be looked at.
                thread::sleep(Duration::from_secs(2));
                let gone = r#"{"kind":"Status","status":"Failure","reason":"Expired","code":410}"#;
                chunk(&mut output, &format!(r#"{{"type":"ERROR","object":{gone}}}"#))?;
                output.flush()?;
            }
            thread::sleep(Duration::from_secs(3600));
        }
        Ok(())
    }

    fn pod(&self, at: usize) -> String {
        let deployment = at / REPLICAS;
        let owner = format!("service-{deployment:04}-{:010x}", hash(deployment) >> 24);
        let digits = |salt: usize| format!("{:016x}", hash(at * 7 + salt)).repeat(4);
        let replaced = [
            ("checkout-6d4cf56db6-x7k2p", format!("{owner}-{:05x}", at % 0xfffff)),
            ("checkout-6d4cf56db6", owner),
            ("8d3a1f52-1f0b-4a6e-9f5c-0d5b7a1c2e3f", uid(1, at)),
            ("b7c0de2a-93f1-4f0e-8a44-5e6d7c8b9a01", uid(2, deployment)),
            (
                r#""namespace":"shop""#,
                format!(r#""namespace":"team-{:03}""#, deployment % NAMESPACES),
            ),
            (
                r#""nodeName":"worker-0017""#,
                format!(r#""nodeName":"worker-{:04}""#, hash(at) % NODES),
            ),
            (r#""resourceVersion":"48211""#, format!(r#""resourceVersion":"{}""#, 1_000 + at)),
            (
                "shop/checkout:2.8.1",
                format!("shop/service-{deployment:04}:{}.{}.0", deployment % 9, deployment % 7),
            ),
            (
                "shop/checkout@sha256:9f8e7d6c5b4a3210",
                format!("shop/service@sha256:{:016x}", hash(deployment)),
            ),
            (&"4f2b6a0c9d1e3f57".repeat(4), digits(1)),
            (&"a81c2d3e4f506172".repeat(4), digits(2)),
            (
                "2026-11-20T10:",
                format!("2026-{:02}-{:02}T{:02}:", 1 + at % 12, 1 + at % 28, at % 24),
            ),
        ];
        replace(&self.pod, &replaced)
    }

    fn node(&self, at: usize) -> String {
        let name = format!("worker-{at:04}");
        replace(
            &self.node,
            &[("worker-0017", name), ("17a1f52c-1f0b-4a6e-9f5c-0d5b7a1c2e3f", uid(3, at))],
        )
    }
}

fn replace(template: &str, replaced: &[(&str, String)]) -> String {
    let all = replaced.iter();
    all.fold(template.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn uid(of: usize, at: usize) -> String {
    let (high, low) = (hash(of << 32 | at), hash(at << 8 | of));
    let (a, b, c) = (high >> 32 & 0xffff_ffff, high >> 16 & 0xffff, high & 0xfff);
    format!("{a:08x}-{b:04x}-4{c:03x}-8{:03x}-{:012x}", low >> 52, low & 0xffff_ffff_ffff)
}

/// Spreads numbers (the finalizer of MurmurHash3).
fn hash(of: usize) -> usize {
    let mut it = of as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        it = (it ^ it >> 33).wrapping_mul(factor);
    }
    (it ^ it >> 33) as usize
}

fn chunk(output: &mut impl Write, line: &str) -> std::io::Result<()> {
    write!(output, "{:x}\r\n{line}\n\r\n", line.len() + 1)
}
