//! What all objects have: who they are, how old, whose.
//!
//! In: `metadata` of any object. Out: [`ObjectMeta`], of which little is left: of labels and annotations only those that
//! are used, of owners only the one that controls.

use std::fmt;
use std::num::NonZeroI64;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::text::{Pool, Text};
use crate::object::or_default;

static OWNERS: LazyLock<Pool<Arc<Owner>>> = LazyLock::new(Pool::default);

/// `metadata` of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectMeta {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// Its namespace; empty for what has none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: Text,
    /// Its UID.
    #[serde(deserialize_with = "or_default")]
    pub uid: Uid,
    /// Its version: a higher one for each change (KEP-5504, "Comparable Resource Version"); 0 where it is no number.
    #[serde(deserialize_with = "number")]
    pub resource_version: u64,
    /// The version of its `spec`, from 1; 0 where nobody counts.
    #[serde(deserialize_with = "or_default")]
    pub generation: i64,
    /// When it was created (`creationTimestamp`).
    #[serde(rename = "creationTimestamp", deserialize_with = "time")]
    pub created: Option<Time>,
    /// Since when it is being deleted, grace period included (`deletionTimestamp`).
    #[serde(rename = "deletionTimestamp", deserialize_with = "time")]
    pub deleted: Option<Time>,
    /// The owner that has it under control.
    #[serde(rename = "ownerReferences", deserialize_with = "controller")]
    pub owner: Option<Arc<Owner>>,
    #[serde(deserialize_with = "rare")]
    annotations: Option<Box<Annotations>>,
    #[serde(deserialize_with = "rare")]
    labels: Option<Box<Labels>>,
}

/// The owner that controls an object; kept once for all that it owns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// `ReplicaSet`, `Job`, `Node`, ..
    pub kind: Text,
    /// Its API group: empty for the core's, `apps`, `batch`, ..
    pub group: Text,
    /// Its name.
    pub name: Text,
    /// Its UID.
    pub uid: Uid,
}

/// The annotations that are used.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Annotations {
    /// <https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/>
    #[serde(
        rename = "resource.opentelemetry.io/service.namespace",
        deserialize_with = "or_default"
    )]
    service_namespace: Text,
    /// `CronJobScheduledTimestampAnnotation` in k8s.io/api/batch/v1.
    #[serde(rename = "batch.kubernetes.io/cronjob-scheduled-timestamp", deserialize_with = "time")]
    cronjob_scheduled: Option<Time>,
}

/// The labels that are used.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Labels {
    /// `LabelServiceName` in k8s.io/api/discovery/v1.
    #[serde(rename = "kubernetes.io/service-name", deserialize_with = "or_default")]
    service_name: Text,
}

/// A UID: 16 bytes where it is a UUID in its usual form, else its text.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Id<16>);

/// `containerID` of a container: the runtime, and 32 bytes where its ID is 64 hexadecimal digits, else its text.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ContainerId {
    /// `containerd`, `cri-o`, `docker`; empty where it is not said.
    pub runtime: Text,
    id: Id<32>,
}

/// Bytes in lower-case hexadecimal digits, or any other text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id<const BYTES: usize> {
    Hex([u8; BYTES]),
    Other(Box<str>),
}

/// A time to the second, as objects have it (`metav1.Time`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(NonZeroI64);

// === impl ObjectMeta ===

impl ObjectMeta {
    /// The annotation `resource.opentelemetry.io/service.namespace`; empty where it has none.
    #[must_use]
    pub fn service_namespace(&self) -> &str {
        self.annotations.as_ref().map_or("", |it| &it.service_namespace)
    }

    /// Of a Job of a CronJob: when it was scheduled for (annotation `batch.kubernetes.io/cronjob-scheduled-timestamp`).
    #[must_use]
    pub fn cronjob_scheduled(&self) -> Option<Time> {
        self.annotations.as_ref()?.cronjob_scheduled
    }

    /// Of an endpoint slice: its Service (label `kubernetes.io/service-name`); empty where it has none.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.labels.as_ref().map_or("", |it| &it.service_name)
    }

    /// The owner that has it under control, if it is of this kind.
    #[must_use]
    pub fn owner_of_kind(&self, kind: &str) -> Option<&Owner> {
        self.owner.as_deref().filter(|owner| owner.kind == *kind)
    }
}

// === impl Uid, ContainerId ===

impl Uid {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Id::Other(text) if text.is_empty())
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        // 8-4-4-4-12
        let dashes = |(at, byte): (usize, u8)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23);
        let usual = text.len() == 36 && text.bytes().enumerate().all(dashes);
        Self(if usual { Id::read(&text.replace('-', ""), text) } else { Id::Other(text.into()) })
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Id::Hex(bytes) = &self.0 else {
            return self.0.fmt(f);
        };
        for (at, byte) in bytes.iter().enumerate() {
            f.write_str(if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" })?;
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

impl ContainerId {
    /// Whether there is none (yet).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.id == Id::default()
    }
}

impl From<&str> for ContainerId {
    fn from(text: &str) -> Self {
        let (runtime, id) = text.split_once("://").unwrap_or(("", text));
        Self { runtime: runtime.into(), id: Id::read(id, id) }
    }
}

/// The ID alone, as OpenTelemetry's `container.id` has it.
impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{self}", self.runtime)
    }
}

impl<'de> Deserialize<'de> for ContainerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

impl<const BYTES: usize> Id<BYTES> {
    /// `digits` where they are so many lower-case hexadecimal ones, else `text`.
    fn read(digits: &str, text: &str) -> Self {
        let mut bytes = [0; BYTES];
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != BYTES || !rest.is_empty() {
            return Self::Other(text.into());
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return Self::Other(text.into());
            };
            *byte = high << 4 | low;
        }
        Self::Hex(bytes)
    }
}

impl<const BYTES: usize> Default for Id<BYTES> {
    fn default() -> Self {
        Self::Other(Box::default())
    }
}

impl<const BYTES: usize> fmt::Display for Id<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Other(text) => f.write_str(text),
        }
    }
}

// === impl Time ===

impl Time {
    /// So many seconds since the Unix epoch; `None` for the epoch itself, which is no time of an object.
    #[must_use]
    pub fn from_second(second: i64) -> Option<Self> {
        NonZeroI64::new(second).map(Self)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn as_second(self) -> i64 {
        self.0.get()
    }

    /// The time as others count it.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        // It was made from one; the fallback is never needed.
        Timestamp::from_second(self.as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.timestamp()
    }
}

/// A time as RFC 3339; one that is no time is none.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let time: Option<Timestamp> = text.and_then(|text| text.parse().ok());
    Ok(time.and_then(|time| Time::from_second(time.as_second())))
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

fn controller<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Owner>>, D::Error> {
    let owners: Option<Vec<crate::object::OwnerRef>> = Option::deserialize(deserializer)?;
    let controller = owners.unwrap_or_default().into_iter().find(|owner| owner.controller);
    Ok(controller.map(|owner| {
        let owner = Owner {
            group: owner.group().into(),
            kind: owner.kind.as_str().into(),
            name: owner.name.as_str().into(),
            uid: owner.uid.as_str().into(),
        };
        OWNERS.share(&owner, || Arc::new(owner.clone()))
    }))
}

/// Takes no memory when there is nothing in it.
fn rare<'de, D, T>(deserializer: D) -> Result<Option<Box<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Default + PartialEq + Deserialize<'de>,
{
    let value: T = or_default(deserializer)?;
    Ok((value != T::default()).then(|| Box::new(value)))
}
