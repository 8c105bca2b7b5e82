//! The key of a destination: its file and the header it goes into.

use std::path::{Path, PathBuf};

use http::HeaderName;

use super::SettingsError;

/// The key and the header it travels in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    header: HeaderName,
    format: String,
    key_file: PathBuf,
}

impl Auth {
    /// The header's whole value is the key.
    pub const DEFAULT_FORMAT: &'static str = "{key}";

    /// A key in a header. `format` holds `{key}` once, e.g. `Bearer {key}`.
    ///
    /// # Errors
    /// When the header cannot carry a key over gRPC, the format has no `{key}` or could not stand in a header,
    /// or the file does not exist. What the file holds is looked at when it is used: a wrong key is corrected
    /// without a restart.
    pub fn new(
        header: &str,
        format: &str,
        key_file: impl Into<PathBuf>,
    ) -> Result<Self, SettingsError> {
        let name: HeaderName = header.parse().map_err(|_invalid| {
            SettingsError::new(
                "auth.header",
                format!("`{header}` is no header name"),
                "write letters, digits and dashes, for instance `x-api-key` or `authorization`",
            )
        })?;
        let lower = name.as_str();
        let reserved = ["te", "content-type", "user-agent", "host", "connection", "content-length"];
        if lower.starts_with("grpc-") || lower.ends_with("-bin") || reserved.contains(&lower) {
            return Err(SettingsError::new(
                "auth.header",
                format!("gRPC keeps `{lower}` to itself"),
                "name the header that the destination reads the key from, for instance `x-api-key`",
            ));
        }
        if format.matches("{key}").count() != 1 {
            return Err(SettingsError::new(
                "auth.format",
                "it does not hold `{key}` exactly once".to_owned(),
                "write where the key goes, for instance `Bearer {key}`",
            ));
        }
        if !format.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(SettingsError::new(
                "auth.format",
                "a header cannot carry it".to_owned(),
                "use printable ASCII characters alone",
            ));
        }
        let key_file = key_file.into();
        key_file_exists(&key_file)?;
        Ok(Self { header: name, format: format.to_owned(), key_file })
    }

    /// The header that carries the key.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The header's value, `{key}` standing for the key.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// The file that holds the key.
    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }
}

fn key_file_exists(path: &Path) -> Result<(), SettingsError> {
    let remedy = "mount the Secret that holds the key there, or give the right path";
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(SettingsError::new(
            "auth.keyFile",
            format!("{} is a folder", path.display()),
            "give the file in it that holds the key",
        )),
        // Rights may be put right while the agent runs; the destination says so until then.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(SettingsError::new(
            "auth.keyFile",
            format!("cannot find {}: {error}", path.display()),
            remedy,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_carry_a_key_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for header in ["x api key", "", "grpc-timeout", "te", "key-bin", "sch\u{f6}n"] {
            let error = Auth::new(header, "{key}", file.path()).unwrap_err();
            assert_eq!(error.field(), "auth.header", "{error}");
        }
        for format in ["Bearer", "{key}{key}", "\n{key}"] {
            let error = Auth::new("x-api-key", format, file.path()).unwrap_err();
            assert_eq!(error.field(), "auth.format", "{error}");
        }
        let auth = Auth::new("X-API-Key", "{key}", file.path()).unwrap();
        assert_eq!(auth.header().as_str(), "x-api-key");
    }

    #[test]
    fn a_missing_key_file_is_named_with_a_remedy() {
        let error = Auth::new("x-api-key", "{key}", "/no/such/key").unwrap_err().to_string();
        assert!(error.contains("auth.keyFile") && error.contains("/no/such/key"), "{error}");
        assert!(error.contains("mount the Secret"), "{error}");
    }
}
