//! The runtime's format of a log file, as the watcher reads it: `TIME STREAM P|F TEXT`. Pieces of a
//! line are marked `P`, its last one `F`; the two streams' pieces may stand between each other.

use std::collections::HashMap;

/// The lines of one container, joined from their pieces.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    /// By life (restart count) and stream: what came of a line whose end did not.
    open: HashMap<(u64, Vec<u8>), Vec<u8>>,
}

impl Joiner {
    /// A line of the file; what is whole by it is handed over. False when it is not of the format.
    pub(crate) fn line(&mut self, restart: u64, line: &[u8], mut whole: impl FnMut(&[u8])) -> bool {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let (Some(_), Some(stream), Some(tag), Some(text)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        let is_stream = stream == b"stdout" || stream == b"stderr";
        match tag {
            b"P" if is_stream => {
                let open = self.open.entry((restart, stream.to_vec())).or_default();
                open.extend_from_slice(text);
            }
            b"F" if is_stream => {
                // Most lines are one piece and are not copied.
                if self.open.is_empty() {
                    whole(text);
                } else if let Some(mut open) = self.open.remove(&(restart, stream.to_vec())) {
                    open.extend_from_slice(text);
                    whole(&open);
                } else {
                    whole(text);
                }
            }
            _ => return false,
        }
        true
    }

    /// What never came to its end.
    pub(crate) fn open_ends(self) -> impl Iterator<Item = Vec<u8>> {
        self.open.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_for_each_stream() {
        let mut joiner = Joiner::default();
        let mut found = Vec::new();
        for line in [
            "2026-01-01T00:00:00Z stdout P ab",
            "2026-01-01T00:00:00Z stderr F other",
            "2026-01-01T00:00:00Z stdout P c d",
            "2026-01-01T00:00:00Z stdout F e",
            "2026-01-01T00:00:00Z stdout F ",
            "2026-01-01T00:00:00Z stderr P open",
        ] {
            let mut whole = |text: &[u8]| found.push(String::from_utf8(text.to_vec()).unwrap());
            assert!(joiner.line(0, line.as_bytes(), &mut whole), "{line}");
        }
        assert_eq!(found, ["other", "abc de", ""]);
        assert_eq!(joiner.open_ends().collect::<Vec<_>>(), [b"open"]);
    }

    #[test]
    fn what_is_not_of_the_format_is_told() {
        let mut joiner = Joiner::default();
        for line in ["", "\0\0\0\0", "2026 stdout X text", "2026 stdlog F text", "2026 stdout F"] {
            assert!(!joiner.line(0, line.as_bytes(), |_| {}), "{line:?}");
        }
    }
}
