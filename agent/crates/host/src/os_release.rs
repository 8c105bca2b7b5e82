//! Which distribution the host has: `/usr/lib/os-release`, `/etc/os-release`. Format: `os-release(5)`.
//!
//! The first is tried first: the second is mostly a link to it, and one that begins with `/` would lead out of a
//! host's root that is mounted elsewhere.

use std::collections::BTreeMap;

use crate::error::ReadError;
use crate::{HostRoot, file, text};

/// Fields by name (`ID`, `VERSION_ID`, `PRETTY_NAME`), without quotes.
pub type OsRelease = BTreeMap<Box<str>, Box<str>>;

/// Reads the host's `os-release`.
///
/// # Errors
/// When neither can be read; [`ReadError::Missing`] too where the host's root is not mounted.
pub fn read(root: &HostRoot) -> Result<OsRelease, ReadError> {
    let not_mounted = || ReadError::Missing { path: "/usr/lib/os-release".into() };
    let of = |path| root.file(path).ok_or_else(not_mounted);
    match file::parse(of("usr/lib/os-release")?, |bytes| Ok(parse(bytes))) {
        Err(error) if error.is_missing() => {
            file::parse(of("etc/os-release")?, |bytes| Ok(parse(bytes)))
        }
        read => read,
    }
}

/// Parses the text of an `os-release`. Lines that are no assignment are passed over, as a shell would.
#[must_use]
pub fn parse(bytes: &[u8]) -> OsRelease {
    let mut fields = OsRelease::new();
    for mut line in text::lines(bytes) {
        let is_name = |name: &&[u8]| {
            name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                && !name.is_empty()
        };
        if let Some(name) = line.until(b'=').filter(is_name) {
            fields.insert(text::text(name), text::text(&unquote(line.rest())));
        }
    }
    fields
}

/// A value as a shell would read it: quotes around it go, and a backslash before what it protects.
fn unquote(value: &[u8]) -> Vec<u8> {
    let single = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'"));
    if let Some(value) = single {
        return value.to_vec();
    }
    let value =
        value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' { *bytes.next().unwrap_or(&byte) } else { byte });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_without_their_quotes() {
        let read = parse(b"# a comment\nID=debian\nPRETTY_NAME=\"A \\\"B\\\" 12\"\nNAME='x y'\nEMPTY=\nno assignment\n=x\n");
        let all: Vec<_> = read.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            all,
            [("EMPTY", ""), ("ID", "debian"), ("NAME", "x y"), ("PRETTY_NAME", "A \"B\" 12")]
        );
    }
}
