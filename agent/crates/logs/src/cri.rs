//! The CRI log format: `TIME STREAM TAGS CONTENT`
//! (<https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>).
//!
//! In: one physical line without its newline. Out: its parts, pointing into the line.

use hawsepipe_model::otlp::Stream;

use crate::time::TimeParser;

/// One physical line of a CRI log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CriLine<'a> {
    /// When the runtime read the line from the container, nanoseconds since the epoch.
    pub time_unix_nano: u64,
    /// Where the container wrote it to.
    pub stream: Stream,
    /// Tag `P`: the line goes on in the stream's next physical line; tag `F`: it ends here.
    pub partial: bool,
    /// What the container wrote.
    pub content: &'a [u8],
}

/// Parses one physical line; `None` when it has not this form. Tags after the first (they are separated by `:`) are
/// for later versions of the format and are passed over, as the kubelet does.
pub fn parse<'a>(line: &'a [u8], times: &mut TimeParser) -> Option<CriLine<'a>> {
    let end = memchr::memchr(b' ', line.get(..40.min(line.len()))?)?;
    let time_unix_nano = times.parse(&line[..end])?;
    let rest = &line[end + 1..];
    let stream = match rest.get(..7)? {
        b"stdout " => Stream::Stdout,
        b"stderr " => Stream::Stderr,
        _ => return None,
    };
    let rest = &rest[7..];
    let partial = match rest.first()? {
        b'F' => false,
        b'P' => true,
        _ => return None,
    };
    let content = match rest.get(1) {
        Some(b' ') => &rest[2..],
        Some(b':') => &rest[memchr::memchr(b' ', rest)? + 1..],
        // An empty line may have lost the blank behind its tag.
        None => &[],
        Some(_) => return None,
    };
    Some(CriLine { time_unix_nano, stream, partial, content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &[u8]) -> Option<CriLine<'_>> {
        parse(line, &mut TimeParser::default())
    }

    #[test]
    fn a_line_gives_its_parts() {
        let line = parsed(b"2016-10-06T00:17:09.669794202Z stdout F hello  world ").unwrap();
        assert_eq!(line.time_unix_nano, 1_475_713_029_669_794_202);
        assert_eq!((line.stream, line.partial), (Stream::Stdout, false));
        assert_eq!(line.content, b"hello  world ");
        let line = parsed(b"2016-10-06T00:17:09Z stderr P:later tags x").unwrap();
        assert_eq!((line.stream, line.partial), (Stream::Stderr, true));
        assert_eq!(line.content, b"tags x");
        assert_eq!(parsed(b"2016-10-06T00:17:09Z stdout F ").unwrap().content, b"");
        assert_eq!(parsed(b"2016-10-06T00:17:09Z stdout F").unwrap().content, b"");
    }

    #[test]
    fn what_is_no_cri_line_is_none() {
        for line in [
            &b""[..],
            b"plain text",
            b"2016-10-06T00:17:09Z",
            b"2016-10-06T00:17:09Z stdin F x",
            b"2016-10-06T00:17:09Z stdout X x",
            b"2016-10-06T00:17:09Z stdout Fx",
            b"2016-10-06T00:17:09Z stdout F:x",
            b"2016-99-06T00:17:09Z stdout F x",
        ] {
            assert_eq!(parsed(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    proptest! {
        #[test]
        fn prop_content_comes_back_byte_for_byte(
            content in proptest::collection::vec(any::<u8>(), 0..200),
            stderr: bool,
            partial: bool,
        ) {
            let mut line = b"2016-10-06T00:17:09.5Z ".to_vec();
            line.extend_from_slice(if stderr { b"stderr " } else { b"stdout " });
            line.extend_from_slice(if partial { b"P " } else { b"F " });
            line.extend_from_slice(&content);
            let found = parsed(&line).unwrap();
            prop_assert_eq!(found.content, &content[..]);
            prop_assert_eq!(found.partial, partial);
            prop_assert_eq!(found.stream == Stream::Stderr, stderr);
        }

        #[test]
        fn prop_any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parsed(&bytes);
        }
    }
}
