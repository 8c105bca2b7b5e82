//! Requests to an admin port, and to the one for heartbeats.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer over HTTP.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks; an answer must come.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path}"), "", "")
}

/// The same with a body, as `curl --data` sends it.
pub(crate) fn post(address: SocketAddr, path: &str, kind: &str, body: &str) -> Answer {
    ask(address, &format!("POST {path}"), kind, body)
}

fn ask(address: SocketAddr, what: &str, kind: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let request = format!(
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head: head.to_lowercase(), body: body.to_owned() }
}
