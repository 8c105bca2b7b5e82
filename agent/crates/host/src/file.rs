//! Reading the kernel's files.
//!
//! In: a path. Out: its bytes, lent to a closure, or line by line where a file grows with the host. What always
//! holds: a file is opened once and read to its end, without asking for its size first (the kernel says 0); a file
//! that the kernel writes in one go is read in one; the buffer belongs to the thread and is used again; no file makes
//! the process larger than [`MAX_FILE`].

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{ParseError, ReadError};
use crate::text::Fields;

/// The largest file that is read as a whole. The largest known is `/proc/stat` of a machine with thousands of CPUs
/// and interrupts, about 1 MiB; what is larger is no file of the kernel, and must not cost the node's memory.
const MAX_FILE: usize = 16 << 20;
/// What a thread keeps for its next file.
const KEEP: usize = 256 << 10;
/// What it begins with. Most files of `/proc` give at most a page for each read, those of `/sys` fit into one.
const FIRST: usize = 16 << 10;
/// How much of a stream is held, and so the longest line in one.
const CHUNK: usize = 64 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// When a file is at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// When a read gives nothing.
    Nothing,
    /// When a read gives less than was asked for: true of what the kernel shows as one piece (`seq_file`'s
    /// `single_open`, kernfs). Lists come in pieces of about a page.
    Less,
}

/// Lends a file's bytes to `parse`.
pub(crate) fn parse<T>(
    path: PathBuf,
    parse: impl FnOnce(&[u8]) -> Result<T, ParseError>,
) -> Result<T, ReadError> {
    parse_until(End::Nothing, path, |path| File::open(path), parse)
}

/// Lends the bytes of a file of sysfs or of a cgroup, which needs one read, to `parse`.
pub(crate) fn parse_attribute<T>(
    path: PathBuf,
    parse: impl FnOnce(&[u8]) -> Result<T, ParseError>,
) -> Result<T, ReadError> {
    parse_opened(path, |path| File::open(path), parse)
}

/// As [`parse_attribute`], of a file that is opened in another way than by its path.
pub(crate) fn parse_opened<T>(
    path: PathBuf,
    open: impl FnOnce(&Path) -> io::Result<File>,
    parse: impl FnOnce(&[u8]) -> Result<T, ParseError>,
) -> Result<T, ReadError> {
    parse_until(End::Less, path, open, parse)
}

fn parse_until<T>(
    end: End,
    path: PathBuf,
    open: impl FnOnce(&Path) -> io::Result<File>,
    parse: impl FnOnce(&[u8]) -> Result<T, ParseError>,
) -> Result<T, ReadError> {
    let mut buffer = BUFFER.take();
    let result = match open(&path).and_then(|file| fill(file, &mut buffer, end)) {
        Ok(size) => parse(&buffer[..size]).map_err(|source| ReadError::Parse { path, source }),
        Err(source) => Err(ReadError::from_io(&path, source)),
    };
    if buffer.len() <= KEEP {
        BUFFER.set(buffer);
    }
    result
}

/// A file with one number in it; `None` if there is none in it (`max`, an empty file, text).
pub(crate) fn number(path: PathBuf) -> Result<Option<u64>, ReadError> {
    parse_attribute(path, |bytes| Ok(crate::text::u64(bytes.trim_ascii())))
}

/// A file with one number in it which may be below zero.
pub(crate) fn signed(path: PathBuf) -> Result<Option<i64>, ReadError> {
    parse_attribute(path, |bytes| Ok(crate::text::i64(bytes.trim_ascii())))
}

/// A file with one line of text in it.
pub(crate) fn line(path: PathBuf) -> Result<Box<str>, ReadError> {
    parse_attribute(path, |bytes| Ok(crate::text::text(bytes.trim_ascii())))
}

/// What many drivers leave out, or do not let be read: `None` then.
pub(crate) fn optional<T>(result: Result<T, ReadError>) -> Option<T> {
    result.ok()
}

/// Lends a file line by line, however long it is. A line that is longer than 64 KiB is cut, its rest is passed over.
pub(crate) fn each_line(path: &Path, mut each: impl FnMut(Fields<'_>)) -> Result<(), ReadError> {
    let mut buffer = BUFFER.take();
    if buffer.len() < CHUNK {
        buffer.resize(CHUNK, 0);
    }
    let result = stream(path, &mut buffer, &mut each);
    if buffer.len() <= KEEP {
        BUFFER.set(buffer);
    }
    result.map_err(|source| ReadError::from_io(path, source))
}

fn stream(
    path: &Path,
    buffer: &mut [u8],
    each: &mut impl FnMut(Fields<'_>),
) -> Result<(), io::Error> {
    let mut file = File::open(path)?;
    let (mut held, mut number, mut passing) = (0, 0, false);
    loop {
        let read = read_some(&mut file, &mut buffer[held..])?;
        let end = held + read;
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &buffer[start..end]) {
            if !std::mem::take(&mut passing) {
                number += 1;
                each(Fields::new(&buffer[start..start + length], number));
            }
            start += length + 1;
        }
        let last = read == 0;
        let rest = end - start;
        if rest > 0 && !passing && (last || rest == buffer.len()) {
            number += 1;
            each(Fields::new(&buffer[start..end], number));
            passing = true;
        }
        if last {
            return Ok(());
        }
        held = if passing { 0 } else { rest };
        buffer.copy_within(end - held..end, 0);
    }
}

fn fill(mut file: File, buffer: &mut Vec<u8>, end: End) -> Result<usize, io::Error> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            if filled >= MAX_FILE {
                let why = format!("more than {} MiB; not a file of the kernel", MAX_FILE >> 20);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            buffer.resize((filled * 2).clamp(FIRST, MAX_FILE), 0);
        }
        let read = read_some(&mut file, &mut buffer[filled..])?;
        filled += read;
        if read == 0 || (end == End::Less && filled < buffer.len()) {
            return Ok(filled);
        }
    }
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The names in a folder, sorted, so that the same host reads the same twice.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, ReadError> {
    let failed = |source| ReadError::from_io(folder, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        // A name that is no UTF-8 is none that the kernel gave.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::Problem;

    #[test]
    fn a_file_is_lent_whole_and_the_buffer_is_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for size in [0, 1, FIRST - 1, FIRST, FIRST + 1, KEEP * 3] {
            fs::write(&path, vec![b'x'; size]).expect("written");
            for end in [End::Nothing, End::Less] {
                let seen = parse_until(
                    end,
                    path.clone(),
                    |path| File::open(path),
                    |bytes| Ok((bytes.len(), bytes.iter().all(|byte| *byte == b'x'))),
                );
                assert_eq!(seen.expect("read"), (size, true));
            }
        }
        let kept = BUFFER.take();
        assert!(kept.len() <= KEEP, "a large file's buffer is given back");
    }

    #[test]
    fn a_file_inside_a_file_has_a_buffer_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("inner"));
        fs::write(&outer, "outer").expect("written");
        fs::write(&inner, "inner").expect("written");
        let seen = parse(outer, |bytes| {
            assert_eq!(&*line(inner).expect("read"), "inner");
            Ok(bytes == b"outer")
        });
        assert!(seen.expect("read"));
    }

    #[test]
    fn what_is_too_large_for_a_file_of_the_kernel_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        File::create(&path).and_then(|file| file.set_len(MAX_FILE as u64 + 1)).expect("made");
        let error = parse(path, |_| Ok(())).expect_err("too large");
        assert!(error.to_string().contains("more than 16 MiB"), "{error}");
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        let error = parse(missing.clone(), |_| Ok(())).expect_err("missing");
        assert!(error.is_missing());
        assert_eq!(error.path(), missing);
        assert!(error.was_there().is_gone());
        let error = parse(folder.path().to_path_buf(), |_| Ok(())).expect_err("a folder");
        assert!(matches!(error, ReadError::Io { .. }));
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let wrong = ParseError { line: 3, field: "btime", problem: Problem::NotANumber };
        let error = parse::<()>(file.clone(), |_| Err(wrong)).expect_err("wrong");
        let words = format!("{}: line 3: field btime: not a number", file.display());
        assert!(error.to_string().starts_with(&words), "{error}");
    }

    #[test]
    fn lines_come_whole_wherever_the_reads_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let written: Vec<String> =
            (0..5_000).map(|number| format!("{number} {}", "y".repeat(number % 97))).collect();
        for end in ["", "\n"] {
            fs::write(&path, written.join("\n") + end).expect("written");
            let mut seen = Vec::new();
            each_line(&path, |line| {
                seen.push(String::from_utf8_lossy(line.rest()).into_owned());
                assert_eq!(line.line(), seen.len());
            })
            .expect("read");
            let trimmed: Vec<&str> = written.iter().map(|line| line.trim()).collect();
            assert_eq!(seen, trimmed);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_cut_and_the_next_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, format!("{}\nnext\n", "z".repeat(CHUNK * 3 + 7))).expect("written");
        let mut seen = Vec::new();
        each_line(&path, |line| seen.push((line.line(), line.rest().len()))).expect("read");
        assert_eq!(seen, [(1, CHUNK), (2, 4)]);
    }
}
