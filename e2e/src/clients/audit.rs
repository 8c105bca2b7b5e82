//! What the agents asked, as the API server's audit log has it.
//!
//! In: the log, which has nobody but the agents ([`AUDITED`]). Out: each request once, with when it came. Always: a request is
//! known by its audit id; a watch is in the log when it begins, not only when it ends.
//!
//! [`AUDITED`]: crate::bare::AUDITED

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// An entry, as far as it is used (`audit.k8s.io/v1`, Event).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// When the API server had it.
    pub(crate) at: Timestamp,
    /// As in `list pods`.
    pub(crate) what: String,
    /// The answer's status, as it was seen last.
    pub(crate) code: u16,
}

/// The log, from a place in it.
pub(crate) struct Audit {
    path: PathBuf,
    from: u64,
    since: Timestamp,
}

impl Audit {
    /// From its end.
    pub(crate) fn from_now(path: PathBuf) -> Result<Self> {
        let from = std::fs::metadata(&path).map(|found| found.len()).or_else(|error| {
            // It is made with the first entry.
            if error.kind() == std::io::ErrorKind::NotFound { Ok(0) } else { Err(error) }
        })?;
        Ok(Self { path, from, since: Timestamp::now() })
    }

    /// What was asked since then, in order.
    pub(crate) fn asked(&self) -> Result<Vec<Asked>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(self.from))?;
        read(BufReader::new(file), self.since)
    }
}

/// The end of a watch that was asked for before is no request.
fn read(mut log: impl BufRead, since: Timestamp) -> Result<Vec<Asked>> {
    let mut requests: HashMap<String, Asked> = HashMap::new();
    let mut line = String::new();
    // The last line may be half written.
    while log.read_line(&mut line)? > 0 && line.ends_with('\n') {
        let entry: Entry = serde_json::from_str(&line).context("an entry of the audit log")?;
        line.clear();
        if entry.request_received_timestamp < since {
            continue;
        }
        let resource = entry.object_ref.map(|object| object.resource).unwrap_or_default();
        let code = entry.response_status.and_then(|status| status.code).unwrap_or_default();
        let at = entry.request_received_timestamp;
        let what = format!("{} {resource}", entry.verb);
        let asked = requests.entry(entry.audit_id).or_insert(Asked { at, what, code });
        asked.code = code;
    }
    let mut requests: Vec<Asked> = requests.into_values().collect();
    requests.sort_by_key(|asked| asked.at);
    Ok(requests)
}

/// How many of each.
pub(crate) fn by_kind(asked: &[Asked]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for request in asked {
        *counts.entry(request.what.as_str()).or_default() += 1;
    }
    counts
}

/// How many in each second since the first of them.
pub(crate) fn by_second(asked: &[Asked]) -> Vec<usize> {
    let mut seconds = Vec::new();
    let Some(first) = asked.first() else { return seconds };
    for request in asked {
        let second = request.at.duration_since(first.at).as_secs().max(0) as usize;
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        seconds[second] += 1;
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, verb: &str, second: u32, stage: &str, code: u16) -> String {
        format!(
            "{{\"auditID\":\"{id}\",\"stage\":\"{stage}\",\"verb\":\"{verb}\",\"objectRef\":{{\"resource\":\"pods\"}},\
             \"responseStatus\":{{\"metadata\":{{}},\"code\":{code}}},\
             \"requestReceivedTimestamp\":\"2026-11-25T17:00:{second:02}.500000Z\"}}\n"
        )
    }

    #[test]
    fn a_watch_counts_once_when_it_begins_and_not_when_an_earlier_one_ends() {
        let log = [
            entry("z", "watch", 0, "ResponseComplete", 200),
            entry("a", "list", 1, "ResponseComplete", 200),
            entry("b", "watch", 1, "ResponseStarted", 200),
            entry("c", "watch", 3, "ResponseStarted", 200),
            entry("b", "watch", 1, "ResponseComplete", 200),
            entry("d", "list", 3, "ResponseComplete", 429),
            String::from("{\"auditID\":\"e\",\"ve"),
        ];
        let since = "2026-11-25T17:00:01Z".parse().unwrap();
        let asked = read(log.concat().as_bytes(), since).unwrap();
        assert_eq!(by_kind(&asked), BTreeMap::from([("list pods", 2), ("watch pods", 2)]));
        assert_eq!(by_second(&asked), [2, 0, 2]);
        assert_eq!(asked.iter().filter(|request| request.code == 429).count(), 1);
    }
}
