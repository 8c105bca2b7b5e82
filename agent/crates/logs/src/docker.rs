//! Docker's json-file format: one JSON object a line, `{"log":"CONTENT\n","stream":"stdout","time":"RFC 3339"}`
//! (<https://docs.docker.com/engine/logging/drivers/json-file/>).
//!
//! In: one physical line without its newline. Out: its parts. A line of the container that is longer than docker's
//! 16 KiB comes in pieces; only the last one's content ends with a newline.

use std::borrow::Cow;

use hawsepipe_model::otlp::Stream;
use serde::Deserialize;

use crate::time::TimeParser;

/// One physical line of a docker log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerLine<'a> {
    /// When docker read the line from the container, nanoseconds since the epoch.
    pub time_unix_nano: u64,
    /// Where the container wrote it to.
    pub stream: Stream,
    /// The line goes on in the stream's next physical line.
    pub partial: bool,
    /// What the container wrote, without the newline at its end.
    pub content: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Parses one physical line; `None` when it has not this form. Further members (`attrs`) are passed over.
pub fn parse<'a>(line: &'a [u8], times: &mut TimeParser) -> Option<DockerLine<'a>> {
    let raw: Raw<'a> = serde_json::from_slice(line).ok()?;
    let time_unix_nano = times.parse(raw.time.as_bytes())?;
    let stream = match &*raw.stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = !raw.log.ends_with('\n');
    let content = match raw.log {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\n').unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(text.len() - usize::from(!partial));
            Cow::Owned(text)
        }
    };
    Some(DockerLine { time_unix_nano, stream, partial, content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Option<DockerLine<'_>> {
        parse(line.as_bytes(), &mut TimeParser::default())
    }

    #[test]
    fn a_line_gives_its_parts() {
        let line = parsed(
            r#"{"log":"hello \"world\"\n","stream":"stderr","attrs":{"a":"b"},"time":"2016-10-06T00:17:09.5Z"}"#,
        )
        .unwrap();
        assert_eq!(line.time_unix_nano, 1_475_713_029_500_000_000);
        assert_eq!((line.stream, line.partial), (Stream::Stderr, false));
        assert_eq!(line.content, "hello \"world\"");
        let line =
            parsed(r#"{"log":"no end","stream":"stdout","time":"2016-10-06T00:17:09Z"}"#).unwrap();
        assert!(line.partial && line.content == "no end");
    }

    #[test]
    fn what_is_no_docker_line_is_none() {
        for line in [
            "",
            "{}",
            "{",
            r#"{"log":"x\n","stream":"stdout"}"#,
            r#"{"log":"x\n","stream":"other","time":"2016-10-06T00:17:09Z"}"#,
            r#"{"log":"x\n","stream":"stdout","time":"yesterday"}"#,
            r#"{"log":7,"stream":"stdout","time":"2016-10-06T00:17:09Z"}"#,
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn prop_content_comes_back(content: String, whole: bool) {
            let content = content.replace('\n', " ");
            let log = if whole { format!("{content}\n") } else { content.clone() };
            let time = "2016-10-06T00:17:09Z";
            let line = serde_json::json!({"log": log, "stream": "stdout", "time": time}).to_string();
            let found = parsed(&line).unwrap();
            prop_assert_eq!(&*found.content, &content);
            prop_assert_eq!(found.partial, !whole);
        }
    }
}
