//! The key check: every request, on both ports, before its body is read.
//!
//! In: request headers. Out: nothing, or why the request is refused. The key stands in `x-api-key: KEY` or
//! `authorization: Bearer KEY` (gRPC metadata are HTTP/2 headers, so one check serves both). It is compared in
//! constant time and appears in no message.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::watched::Watched;

/// The header that a key stands in.
pub const KEY_HEADER: &str = "x-api-key";

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {source}; it must hold the key that senders show", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The file system's word.
        source: io::Error,
    },
    /// There is nothing in it, or something that cannot stand in a header.
    #[error("the key file {} must hold one line of visible ASCII characters", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("no key: send it in the header `x-api-key: KEY` (or `authorization: Bearer KEY`)")]
    Missing,
    #[error("the key in the header `{0}` is wrong: it must be what the receiver's key file holds")]
    Wrong(&'static str),
}

impl Denied {
    /// The value of the metrics' label `reason`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "key_missing",
            Self::Wrong(_) => "key_wrong",
        }
    }
}

/// The key that senders must show; follows its file.
#[derive(Debug)]
pub(crate) struct KeyCheck(Watched<Vec<u8>, KeyFileError>);

impl KeyCheck {
    pub(crate) fn new(path: PathBuf) -> Result<Self, KeyFileError> {
        let watched = Watched::new("the key", vec![path.clone()], move || read(&path))?;
        Ok(Self(watched))
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let (header, shown) = if let Some(value) = headers.get(KEY_HEADER) {
            (KEY_HEADER, value.as_bytes())
        } else if let Some(token) = headers.get(AUTHORIZATION).and_then(bearer) {
            ("authorization", token)
        } else {
            return Err(Denied::Missing);
        };
        // The length is no secret; the bytes are.
        if bool::from(self.0.get().as_slice().ct_eq(shown)) {
            Ok(())
        } else {
            Err(Denied::Wrong(header))
        }
    }
}

/// The token of `Bearer TOKEN` (RFC 6750, 2.1); the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &http::HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let bytes = fs::read(path)
        .map_err(|source| KeyFileError::Unreadable { path: path.to_owned(), source })?;
    let key = bytes.trim_ascii();
    if key.is_empty() || !key.iter().all(u8::is_ascii_graphic) {
        return Err(KeyFileError::NoKey { path: path.to_owned() });
    }
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            http::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_key_is_taken_from_either_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "s3cret\n").unwrap();
        let key = KeyCheck::new(path).unwrap();
        for (name, value) in [
            ("x-api-key", "s3cret"),
            ("authorization", "Bearer s3cret"),
            ("authorization", "bearer s3cret"),
        ] {
            assert_eq!(key.check(&headers(name, value)), Ok(()), "{name}: {value}");
        }
        for (name, value, denied) in [
            ("x-api-key", "s3cre", Denied::Wrong("x-api-key")),
            ("x-api-key", "", Denied::Wrong("x-api-key")),
            ("authorization", "Bearer no", Denied::Wrong("authorization")),
            ("authorization", "Basic s3cret", Denied::Missing),
            ("accept", "s3cret", Denied::Missing),
        ] {
            assert_eq!(key.check(&headers(name, value)), Err(denied), "{name}: {value}");
        }
    }

    #[test]
    fn a_secret_that_is_swapped_changes_the_key_and_an_empty_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // As the kubelet mounts a Secret: key -> ..data/key, ..data -> a folder.
        for (data, key) in [("..1", "old"), ("..2", "new"), ("..3", "")] {
            fs::create_dir(at(data)).unwrap();
            fs::write(at(data).join("key"), key).unwrap();
        }
        let swap = |to: &str| {
            std::os::unix::fs::symlink(to, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        };
        swap("..1");
        std::os::unix::fs::symlink("..data/key", at("key")).unwrap();
        let key = KeyCheck::new(at("key")).unwrap();
        assert_eq!(key.check(&headers("x-api-key", "old")), Ok(()));
        swap("..2");
        assert!(key.check(&headers("x-api-key", "old")).is_err());
        assert_eq!(key.check(&headers("x-api-key", "new")), Ok(()));
        swap("..3");
        assert_eq!(key.check(&headers("x-api-key", "new")), Ok(()));
        assert!(key.check(&headers("x-api-key", "")).is_err());
    }

    #[test]
    fn a_key_file_that_is_not_there_or_empty_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let error = KeyCheck::new(path.clone()).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        fs::write(&path, "\n").unwrap();
        let error = KeyCheck::new(path.clone()).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
