//! The key: a value that is never shown, and the file it is read from.
//!
//! In: a path, in a cluster a mounted Secret, whose content changes when its `..data` link is swapped. Out: the key
//! as it is now, or why there is none (path and reason, never content). The file is read anew for each request: it is
//! a few dozen bytes on a memory file system, and no event can be missed.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use http::HeaderValue;

/// No key is as long as this; a longer file is something else that was mounted by mistake.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// A key. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Box<str>);

impl Key {
    /// The header's value: `format` with the key where `{key}` stands, marked sensitive, so that HTTP/2 neither
    /// indexes it nor shows it in a debug dump.
    pub(crate) fn header_value(&self, format: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format.replace("{key}", &self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `text` without the key in it. Servers quote keys ("invalid key abc"), and their words go to logs.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&*self.0, "***")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, and never could.
    #[error(
        "cannot read the key file {path}: {source}; mount the Secret there, readable for the agent"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The path is a folder or a device.
    #[error(
        "the key file {path} is no file; give the file in the mounted Secret that holds the key"
    )]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Nothing but white space in it.
    #[error("the key file {path} is empty; put the key into it, it is read again by itself")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Something that no header can carry.
    #[error(
        "the key file {path} holds characters that a header cannot carry (a line break inside, or not ASCII); \
         it must hold the key alone"
    )]
    NotAHeader {
        /// The file.
        path: PathBuf,
    },
    /// Much too long.
    #[error(
        "the key file {path} holds more than {MAX_KEY_BYTES} bytes; it must hold the key alone"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// A key file and the last good key that it held.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    last: Option<Key>,
    failing: bool,
}

impl KeyFile {
    /// The key file at `path`. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), last: None, failing: false }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key as it is now. When the file cannot be read any more, it is the last one that could, and the log says
    /// so once.
    ///
    /// # Errors
    /// When the file could never be read, or holds no key.
    pub fn read(&mut self) -> Result<Key, KeyError> {
        match read_key(&self.path) {
            Ok(key) => {
                if self.failing {
                    self.failing = false;
                    tracing::info!(path = %self.path.display(), "the key file can be read again");
                }
                self.last = Some(key.clone());
                Ok(key)
            }
            Err(error @ (KeyError::Read { .. } | KeyError::NotAFile { .. })) => {
                let Some(last) = &self.last else {
                    return Err(error);
                };
                if !self.failing {
                    self.failing = true;
                    tracing::warn!(%error, "the last good key stays in use");
                }
                Ok(last.clone())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the file now holds a good key other than `used`.
    pub(crate) fn holds_other_than(&self, used: Option<&Key>) -> bool {
        read_key(&self.path).is_ok_and(|key| Some(&key) != used)
    }
}

fn read_key(path: &Path) -> Result<Key, KeyError> {
    let unreadable = |source| KeyError::Read { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(KeyError::NotAFile { path: path.to_owned() });
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(MAX_KEY_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_KEY_BYTES {
        return Err(KeyError::TooLong { path: path.to_owned() });
    }
    let key = content.trim_ascii();
    if key.is_empty() {
        return Err(KeyError::Empty { path: path.to_owned() });
    }
    // gRPC over HTTP/2, "ASCII-Value", without the blank, which no key has inside.
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err(KeyError::NotAHeader { path: path.to_owned() });
    }
    Ok(Key(String::from_utf8_lossy(key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_key_is_never_shown() {
        let file = file_with(b"open-sesame\n");
        let mut keys = KeyFile::new(file.path());
        let key = keys.read().unwrap();
        let header = key.header_value("Bearer {key}").unwrap();
        let shown = format!("{key:?} {key} {keys:?} {header:?}");
        assert!(!shown.contains("sesame"), "{shown}");
        assert_eq!(header.as_bytes(), b"Bearer open-sesame");
        assert_eq!(key.redact("invalid key open-sesame!"), "invalid key ***!");
    }

    #[test]
    fn a_file_without_a_key_is_named_and_not_quoted() {
        for content in [&b""[..], b" \n", b"two\nlines", b"caf\xc3\xa9", b"nul\0"] {
            let file = file_with(content);
            let error = KeyFile::new(file.path()).read().unwrap_err().to_string();
            assert!(error.contains(&file.path().display().to_string()), "{error}");
            assert!(!error.contains("lines") && !error.contains("caf"), "{error}");
        }
        let long = file_with(&vec![b'k'; 100_000]);
        assert!(matches!(KeyFile::new(long.path()).read(), Err(KeyError::TooLong { .. })));
    }

    #[test]
    fn a_key_that_vanishes_stays_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mut keys = KeyFile::new(&path);
        assert!(matches!(keys.read(), Err(KeyError::Read { .. })));
        std::fs::write(&path, "first").unwrap();
        let first = keys.read().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(keys.read().unwrap(), first);
        assert!(!keys.holds_other_than(Some(&first)));
        std::fs::write(&path, "second").unwrap();
        assert!(keys.holds_other_than(Some(&first)));
        assert_ne!(keys.read().unwrap(), first);
    }
}
