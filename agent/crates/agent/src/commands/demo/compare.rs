//! What was written against what can be read from the receiver: every line, once, in order.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use hawsepipe_proto::v1::log_query_client::LogQueryClient;
use hawsepipe_proto::v1::value::Value;
use hawsepipe_proto::v1::{QueryRequest, Record};
use tonic::metadata::MetadataValue;

use super::workloads::Written;

/// The numbers of the lines that came from each pod and output, in the order of their arrival.
pub(super) type Found = BTreeMap<(String, String), Vec<u64>>;

/// Reads everything from the receiver.
pub(super) async fn read_all(receiver: SocketAddr, key_file: &Path) -> anyhow::Result<Found> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{receiver}"))?;
    let mut client = LogQueryClient::new(channel.connect().await?);
    let mut request = tonic::Request::new(QueryRequest::default());
    let key: MetadataValue<_> = std::fs::read_to_string(key_file)?.parse()?;
    request.metadata_mut().insert(hawsepipe_receive::KEY_HEADER, key);
    let mut answers = client.query(request).await?.into_inner();
    let (mut pods, mut found) = (BTreeMap::new(), Found::new());
    while let Some(answer) = answers.message().await? {
        for source in answer.sources {
            let container = source.container.context("a source without a container")?;
            pods.insert(source.id, container.pod);
        }
        for record in answer.records {
            let pod = pods.get(&record.source).context("a record without a source")?;
            let number = number(&record).context("a line without a number")?;
            found.entry((pod.clone(), record.stream)).or_default().push(number);
        }
    }
    Ok(found)
}

fn number(record: &Record) -> Option<u64> {
    let Some(Value::StringValue(body)) = &record.body.as_ref()?.value else { return None };
    body.split(' ').next()?.parse().ok()
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    written: u64,
    received: u64,
    missing: u64,
    doubled: u64,
    disordered: u64,
    pods: usize,
}

/// Compares. A pod's lines are numbered from 0; each output of it keeps its order.
pub(super) fn compare(written: &Written, found: &Found) -> Comparison {
    let mut comparison = Comparison {
        written: written.values().sum(),
        pods: written.len(),
        ..Comparison::default()
    };
    let mut times: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for ((pod, _stream), numbers) in found {
        comparison.received += numbers.len() as u64;
        comparison.disordered += numbers.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
        for number in numbers {
            *times.entry((pod, *number)).or_default() += 1;
        }
    }
    comparison.doubled = times.values().map(|count| count - 1).sum();
    for (pod, lines) in written {
        let missing = (0..*lines).filter(|line| !times.contains_key(&(pod.as_str(), *line)));
        comparison.missing += missing.count() as u64;
    }
    comparison
}

impl Comparison {
    /// Whether every line came, once and in order.
    pub(super) fn is_equal(&self) -> bool {
        self.written == self.received
            && self.missing == 0
            && self.doubled == 0
            && self.disordered == 0
            && self.written > 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.written == self.received { "=" } else { "!=" };
        writeln!(
            f,
            "written {} {sign} received {} (lines of {} pods; {} missing, {} doubled, {} out of order)",
            self.written, self.received, self.pods, self.missing, self.doubled, self.disordered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(numbers: &[u64]) -> Found {
        Found::from([(("web".to_owned(), "stdout".to_owned()), numbers.to_vec())])
    }

    #[test]
    fn only_every_line_once_and_in_order_is_equal() {
        let written = Written::from([("web".to_owned(), 3)]);
        assert!(compare(&written, &found(&[0, 1, 2])).is_equal());
        for numbers in [&[0, 1][..], &[0, 1, 1], &[0, 1, 2, 2], &[0, 2, 1], &[0, 1, 2, 3]] {
            let comparison = compare(&written, &found(numbers));
            assert!(!comparison.is_equal(), "{numbers:?}: {comparison}");
        }
        assert!(!compare(&Written::new(), &Found::new()).is_equal(), "nothing is no success");
    }
}
