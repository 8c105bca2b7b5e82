//! The runtime's format of a log file, as the watcher reads it: `TIME STREAM P|F TEXT`. Pieces of a
//! line are marked `P`, its last one `F`; the two streams' pieces may stand between each other.

use std::collections::HashMap;

/// The lines of one container, joined from their pieces.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    /// By life (restart count) and stream: what came of a line whose end did not.
    open: HashMap<(u64, Vec<u8>), Vec<u8>>,
    /// Where the pieces of such a line begin.
    cuts: HashMap<(u64, Vec<u8>), Vec<usize>>,
}

impl Joiner {
    /// A line of the file; what is whole by it is handed over, with the places where its pieces but the first begin. False
    /// when it is not of the format.
    pub(crate) fn line(
        &mut self,
        restart: u64,
        line: &[u8],
        mut whole: impl FnMut(&[u8], &[usize]),
    ) -> bool {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let (Some(_), Some(stream), Some(tag), Some(text)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        let is_stream = stream == b"stdout" || stream == b"stderr";
        match tag {
            b"P" if is_stream => {
                let key = (restart, stream.to_vec());
                let open = self.open.entry(key.clone()).or_default();
                open.extend_from_slice(text);
                self.cuts.entry(key).or_default().push(open.len());
            }
            b"F" if is_stream => {
                // Most lines are one piece and are not copied.
                if self.open.is_empty() {
                    whole(text, &[]);
                    return true;
                }
                let key = (restart, stream.to_vec());
                match self.open.remove(&key) {
                    Some(mut open) => {
                        open.extend_from_slice(text);
                        whole(&open, &self.cuts.remove(&key).unwrap_or_default());
                    }
                    None => whole(text, &[]),
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
            let mut whole = |text: &[u8], cuts: &[usize]| {
                found.push((String::from_utf8(text.to_vec()).unwrap(), cuts.to_vec()));
            };
            assert!(joiner.line(0, line.as_bytes(), &mut whole), "{line}");
        }
        let words = |text: &str, cuts: &[usize]| (text.to_owned(), cuts.to_vec());
        assert_eq!(found, [words("other", &[]), words("abc de", &[2, 5]), words("", &[])]);
        assert_eq!(joiner.open_ends().collect::<Vec<_>>(), [b"open"]);
    }

    #[test]
    fn what_is_not_of_the_format_is_told() {
        let mut joiner = Joiner::default();
        for line in ["", "\0\0\0\0", "2026 stdout X text", "2026 stdlog F text", "2026 stdout F"] {
            assert!(!joiner.line(0, line.as_bytes(), |_, _| {}), "{line:?}");
        }
    }
}
