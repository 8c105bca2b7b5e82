//! What a line of a watch says.

use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::events::version;
use crate::failure::Failure;
use crate::object::or_default;

/// A line of a watch. Its object is read apart from it: one that is odd does not hide what the line says.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// An object was added or has changed.
    Found(&'a RawValue),
    /// An object was deleted; this is its last state.
    Deleted(&'a RawValue),
    /// Nothing else has happened up to this version.
    Bookmark {
        version: u64,
        /// All objects of a streamed list were given.
        ends_list: bool,
    },
    /// The line was cut off, and ends the watch.
    CutOff,
}

/// A line as written.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: LineKind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum LineKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMeta {
    resource_version: String,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    /// `InitialEventsAnnotationKey` in k8s.io/apimachinery/pkg/apis/meta/v1.
    #[serde(rename = "k8s.io/initial-events-end")]
    ends_list: String,
}

impl<'a> Event<'a> {
    /// Reads a line; an error that the server tells of is the failure that it is.
    pub(super) fn read(line: &'a str) -> Result<Self, Failure> {
        let Line { kind, object } = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) if error.is_eof() => return Ok(Self::CutOff),
            Err(error) => return Err(kube::Error::SerdeError(error).into()),
        };
        Ok(match kind {
            LineKind::Added | LineKind::Modified => Self::Found(object),
            LineKind::Deleted => Self::Deleted(object),
            LineKind::Bookmark => {
                let Bookmark { metadata } = read(object)?;
                let version = version(&metadata.resource_version)?;
                Self::Bookmark { version, ends_list: metadata.annotations.ends_list == "true" }
            }
            LineKind::Error => return Err(Failure::from(&read::<Status>(object)?)),
        })
    }
}

fn read<'a, T: Deserialize<'a>>(object: &'a RawValue) -> Result<T, Failure> {
    Ok(serde_json::from_str(object.get()).map_err(kube::Error::SerdeError)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::Kind;

    #[test]
    fn a_line_says_what_has_happened_whatever_comes_first_in_it() {
        let pod = r#"{"metadata":{"name":"web"}}"#;
        for line in [
            format!(r#"{{"type":"ADDED","object":{pod}}}"#),
            format!(r#"{{"object":{pod},"type":"MODIFIED"}}"#),
        ] {
            assert!(
                matches!(Event::read(&line), Ok(Event::Found(it)) if it.get() == pod),
                "{line}"
            );
        }
        let line = format!(r#"{{"type":"DELETED","object":{pod}}}"#);
        assert!(matches!(Event::read(&line), Ok(Event::Deleted(it)) if it.get() == pod));
    }

    #[test]
    fn only_the_bookmark_that_says_so_ends_a_list() {
        for (annotations, ends) in [
            (r#"{"k8s.io/initial-events-end":"true"}"#, true),
            (r#"{"k8s.io/initial-events-end":"false"}"#, false),
            ("{}", false),
            ("null", false),
        ] {
            let meta = format!(r#"{{"resourceVersion":"7","annotations":{annotations}}}"#);
            let line = format!(r#"{{"type":"BOOKMARK","object":{{"metadata":{meta}}}}}"#);
            let event = Event::read(&line).unwrap();
            let Event::Bookmark { version: 7, ends_list } = event else { panic!("{event:?}") };
            assert_eq!(ends_list, ends, "{annotations}");
        }
    }

    #[test]
    fn an_error_is_the_failure_that_the_server_tells_of() {
        let status = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#;
        let kind = |line: &str| Event::read(line).unwrap_err().kind;
        assert_eq!(kind(&format!(r#"{{"type":"ERROR","object":{status}}}"#)), Kind::gone);
        assert_eq!(kind(r#"{"type":"SHRUNK","object":{}}"#), Kind::decode);
        assert_eq!(
            kind(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"?"}}}"#),
            Kind::decode
        );
        assert_eq!(kind("<html>"), Kind::decode);
    }

    proptest! {
        #[test]
        fn prop_a_line_that_is_cut_off_anywhere_is_told_apart_from_an_odd_one(cut in 1..52_usize) {
            let line = r#"{"type":"ADDED","object":{"metadata":{"name":"web"}}}"#;
            prop_assert!(matches!(Event::read(&line[..cut]), Ok(Event::CutOff)), "{}", &line[..cut]);
        }

        #[test]
        fn prop_any_line_is_read_without_panic(line in "\\PC{0,80}") {
            drop(Event::read(&line));
        }
    }
}
