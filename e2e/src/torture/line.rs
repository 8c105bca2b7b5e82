//! The lines that torture writes, and what can be said of a line that was found: which it is, and
//! whether it is whole.
//!
//! `RUN STREAM NUMBER LENGTH filling.`: a run is one life of one container and draws its name anew
//! each time, so that numbers which start again at 1 are never taken for others. The length is that
//! of the whole line, which ends with a full stop: a line that was cut, joined with another one or
//! lost a piece in the middle does not say of itself that it is whole.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One output stream of one life of one container: the name that it drew, and `o` or `e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Run([u8; RUN_LENGTH], u8);

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = if self.1 == b'e' { "stderr" } else { "stdout" };
        write!(formatter, "{} {stream}", String::from_utf8_lossy(&self.0))
    }
}

/// A line that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Who wrote it.
    pub(crate) run: Run,
    /// Which it is, from 1.
    pub(crate) number: u64,
}

impl Line {
    /// Reads one; none for anything that is not whole.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        // The head is short; what follows may be tens of KiB.
        let head = &body[..body.len().min(64)];
        let mut words = head.split(|byte| *byte == b' ');
        let run: [u8; RUN_LENGTH] = words.next()?.try_into().ok()?;
        let [stream @ (b'o' | b'e')] = *words.next()? else { return None };
        let number = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let length: usize = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        // The space behind the length, or it could have been cut too.
        words.next()?;
        let whole = body.len() == length && body.ends_with(b".");
        whole.then_some(Self { run: Run(run, stream), number })
    }
}

/// Whether it is at least the beginning of a line.
pub(crate) fn is_beginning(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let words: Vec<&str> = text.splitn(5, ' ').collect();
    let number = |word: &str| word.is_empty() || word.parse::<u64>().is_ok();
    words.iter().enumerate().all(|(index, word)| match index {
        0 => word.len() <= RUN_LENGTH && word.bytes().all(|byte| byte.is_ascii_hexdigit()),
        1 => matches!(*word, "" | "o" | "e"),
        2 | 3 => number(word),
        _ => {
            let length = words[3].parse().unwrap_or(0);
            body.len() < length && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
    })
}

/// Whether it is less than the head that the runtime puts before a line: what a power cut may leave at a file's end, and
/// what is delivered as it is, because nothing better can be known of it.
pub(crate) fn is_torn_head(body: &[u8]) -> bool {
    let digits = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    let shape: Vec<u8> = body.iter().map(digits).collect();
    ["stdout F", "stdout P", "stderr F", "stderr P"]
        .iter()
        .any(|tail| format!("0000-00-00T00:00:00.000000000Z {tail}").as_bytes().starts_with(&shape))
}

/// How long the name is that a run draws.
const RUN_LENGTH: usize = 8;

/// What stands for a line that is not whole.
pub(crate) fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

/// How a container writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// Lines a second, each stream.
    pub(crate) per_second: u64,
    /// How often in a second it writes; each time costs a process.
    pub(crate) beats: u64,
    /// Bytes of a line.
    pub(crate) length: usize,
    /// Whether it writes to stderr too, a line for a line.
    pub(crate) both: bool,
}

impl Voice {
    /// A script that writes until a moment (seconds since 1970). Many times a second it catches up
    /// with the clock, so that the mean rate holds; what it could not write in a second it leaves
    /// out, or a slow machine would never come to the end.
    pub(crate) fn until(self, end: u64) -> String {
        let Self { per_second, beats, .. } = self;
        self.script(&format!(
            "last = systime(); due = {per_second}; while ((now = systime()) < {end}) {{ \
             if (now > last) {{ due = n + {per_second}; last = now }} \
             for (i = 0; i <= {per_second} * 1.2 / {beats} && n < due; i++) line(); {rest} }}",
            rest = self.rest(),
        ))
    }

    /// A script that writes so many lines, no faster than it should.
    pub(crate) fn paced(self, lines: u64) -> String {
        let Self { per_second, beats, .. } = self;
        self.script(&format!(
            "while (n < {lines}) {{ \
             for (i = 0; i < {per_second} / {beats} && n < {lines}; i++) line(); {rest} }}",
            rest = self.rest(),
        ))
    }

    fn rest(self) -> String {
        let both = if self.both { "fflush(\"/dev/stderr\"); " } else { "" };
        format!("fflush(); {both}system(\"sleep {}\")", 1.0 / self.beats as f64)
    }

    /// A script that writes so many lines at once.
    pub(crate) fn burst(self, lines: u64) -> String {
        self.script(&format!("while (n < {lines}) line()"))
    }

    fn script(self, program: &str) -> String {
        let Self { length, both, .. } = self;
        let other = if both { "; print text(\"e\") > \"/dev/stderr\"" } else { "" };
        // A few random words in each line: lines that compress to nothing would never fill a spool.
        format!(
            "run=$(head -c {RUN_LENGTH} /proc/sys/kernel/random/uuid); awk -v run=\"$run\" ' \
             function text(stream,   head) {{ \
             head = run \" \" stream \" \" n \" {length} \" \
             sprintf(\"%x%x%x%x\", rand() * 2e9, rand() * 2e9, rand() * 2e9, rand() * 2e9); \
             return head substr(pad, 1, {length} - length(head) - 1) \".\" }} \
             function line() {{ n++; print text(\"o\"){other} }} \
             BEGIN {{ srand(); while (length(pad) < {length}) pad = pad \"filling\"; {program} }}'"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn whole() -> &'static [u8] {
        b"0a1b2c3d o 17 30 fillingfill."
    }

    #[test]
    fn a_line_says_which_it_is() {
        let body = b"0a1b2c3d o 17 30 fillingfilli.";
        let line = Line::parse(body).unwrap();
        assert_eq!(line, Line { run: Run(*b"0a1b2c3d", b'o'), number: 17 });
    }

    #[test]
    fn what_is_cut_or_joined_is_not_whole() {
        let line = b"0a1b2c3d o 17 30 fillingfilli.";
        for end in 0..line.len() {
            assert_eq!(Line::parse(&line[..end]), None, "cut at {end}");
        }
        assert!((0..line.len()).all(|end| is_beginning(&line[..end])));
        assert!(
            is_torn_head(b"2026-11-24T20:34")
                && is_torn_head(b"2026-11-24T20:34:28.446768583Z std")
        );
        assert!(!is_torn_head(b"2026-11-24T20:34:28.446768583Z stdin") && !is_torn_head(b"word"));
        assert!(
            !is_beginning(line) && !is_beginning(b"something else") && !is_beginning(&line[4..])
        );
        assert_eq!(Line::parse(&[line.as_slice(), line.as_slice()].concat()), None);
        assert_eq!(Line::parse(whole()), None, "a byte is missing in the middle");
    }

    #[test]
    fn what_the_scripts_write_is_whole() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let voice = Voice { per_second: 40, beats: 10, length: 100, both: true };
        for script in [voice.until(now.as_secs() + 2), voice.burst(40), voice.paced(40)] {
            let output = Command::new("busybox").args(["sh", "-c", &script]).output();
            // The workloads' image is made of busybox; without it there is nothing to check here.
            let Ok(output) = output else { return };
            let errors = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&[u8]> = output
                .stdout
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .collect();
            assert!(lines.len() >= 40, "{} lines, {errors}", lines.len());
            for (index, body) in lines.iter().enumerate() {
                let line = Line::parse(body).unwrap();
                assert_eq!((line.number, line.run.1), (index as u64 + 1, b'o'));
            }
            for body in errors.lines() {
                assert_eq!(Line::parse(body.as_bytes()).unwrap().run.1, b'e', "{body}");
            }
        }
    }
}
