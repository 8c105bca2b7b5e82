//! What the names under the pods path say.
//!
//! `NS_POD_UID/CONTAINER/N.log`, the kubelet's layout (kubernetes `pkg/kubelet/kuberuntime/helpers.go`,
//! `BuildPodLogsDirectory` and `buildContainerLogsPath`): namespaces and pod names are DNS names and hold no `_`.

use std::cmp::Ordering;

/// A pod's log folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodDir {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// The pod's UID; for a static pod, the hash of its configuration.
    pub(crate) uid: String,
}

impl PodDir {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('_');
        let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none();
        let filled = !namespace.is_empty() && !pod.is_empty() && !uid.is_empty();
        (whole && filled).then(|| Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: uid.to_owned(),
        })
    }
}

/// The name of a log file: `N.log`, `N.log.YYYYMMDD-HHMMSS` once the kubelet has rotated it, with `.gz` once it has
/// compressed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogName {
    /// How often the container had been restarted when the file was begun.
    pub(crate) restart: u32,
    /// The time in the rotated name; `None` for the file that the runtime writes to.
    pub(crate) rotated: Option<String>,
    /// The kubelet has compressed it: `.gz`.
    pub(crate) compressed: bool,
}

impl LogName {
    /// `None` for what is no log file, the kubelet's `.tmp` (its compressor at work) included.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (plain, compressed) = match name.strip_suffix(".gz") {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let (number, rest) = plain.split_once(".log")?;
        let restart = number.parse().ok()?;
        let rotated = match rest.strip_prefix('.') {
            None if rest.is_empty() && !compressed => None,
            Some(time) if !time.is_empty() && !time.contains('.') => Some(time.to_owned()),
            _ => return None,
        };
        Some(Self { restart, rotated, compressed })
    }

    /// Whether this is the same segment, compressed or not.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.restart == other.restart && self.rotated == other.rotated
    }
}

/// The order in which the files were written.
impl Ord for LogName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.restart.cmp(&other.restart).then_with(|| match (&self.rotated, &other.rotated) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        })
    }
}

impl PartialOrd for LogName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_folder_names_its_pod() {
        let dir = PodDir::parse("kube-system_web-0_1f0e-22").unwrap();
        assert_eq!((&*dir.namespace, &*dir.pod, &*dir.uid), ("kube-system", "web-0", "1f0e-22"));
        for name in ["", "a_b", "a_b_c_d", "_b_c", "a__c", "a_b_"] {
            assert_eq!(PodDir::parse(name), None, "{name}");
        }
    }

    #[test]
    fn segments_stand_in_the_order_they_were_written() {
        let mut names = ["1.log", "0.log", "0.log.20241122-101010", "0.log.20241122-091010"]
            .map(|name| LogName::parse(name).unwrap());
        names.sort();
        let sorted = ["0.log.20241122-091010", "0.log.20241122-101010", "0.log", "1.log"]
            .map(|name| LogName::parse(name).unwrap());
        assert_eq!(names, sorted);
    }

    #[test]
    fn a_compressed_segment_is_the_same_segment() {
        let [plain, compressed] = ["0.log.20241122-101010", "0.log.20241122-101010.gz"]
            .map(|name| LogName::parse(name).unwrap());
        assert!(plain.is_same(&compressed) && compressed.compressed && !plain.compressed);
    }

    #[test]
    fn the_compressors_files_are_no_segments() {
        for name in ["0.log.gz", "0.log.20241122-101010.tmp", "x.log", "0.logs", "0"] {
            assert_eq!(LogName::parse(name), None, "{name}");
        }
    }
}
