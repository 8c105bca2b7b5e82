//! What a destination is told: endpoint, compression, key, TLS, time limit.
//!
//! In: the strings of a config. Out: values that cannot be wrong, or a [`SettingsError`] that names the key, the
//! reason and the remedy. The binary reads the YAML; nothing here knows of it.

mod auth;
mod endpoint;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hawsepipe_model::Codec;

pub use auth::Auth;
pub use endpoint::Endpoint;

/// A setting of a destination that makes no sense. [`field`](Self::field) is its key below the destination.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {reason}; {remedy}")]
pub struct SettingsError {
    field: &'static str,
    reason: String,
    remedy: String,
}

impl SettingsError {
    fn new(field: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field, reason: reason.into(), remedy: remedy.into() }
    }

    /// The config key below the destination, e.g. `auth.keyFile`.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

/// How frames are compressed for a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Ask the destination: zstd if it takes it, else gzip, else nothing.
    #[default]
    Auto,
    /// This, whatever the destination says.
    Fixed(Codec),
}

impl FromStr for Compression {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "auto" => Ok(Self::Auto),
            "zstd" => Ok(Self::Fixed(Codec::Zstd)),
            "gzip" => Ok(Self::Fixed(Codec::Gzip)),
            "none" => Ok(Self::Fixed(Codec::Identity)),
            other => Err(SettingsError::new(
                "compression",
                format!("`{other}` is not known"),
                "write auto, zstd, gzip or none",
            )),
        }
    }
}

/// How counters are told (OpenTelemetry's temporality preference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Temporality {
    /// Each point is the sum since the counter's start.
    #[default]
    Cumulative,
    /// Each point is what was gained since the last one that the destination took.
    Delta,
}

/// Whom to trust, and by which name. Of use with `https://` alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// PEM file with the CA certificates to trust instead of the system's. Read again when it changes.
    pub ca_file: Option<PathBuf>,
    /// The name that the destination's certificate must hold, where it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// Everything that a destination is told.
#[derive(Debug, Clone)]
pub struct Settings {
    endpoint: Endpoint,
    compression: Compression,
    auth: Option<Auth>,
    tls: Tls,
    timeout: Duration,
    temporality: Temporality,
}

impl Settings {
    /// The default time limit of one request, connecting included.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Settings whose parts fit each other.
    ///
    /// # Errors
    /// When TLS settings stand beside `http://`, the CA file or the server name is wrong, or the time limit is
    /// nothing at all.
    pub fn new(
        endpoint: Endpoint,
        compression: Compression,
        auth: Option<Auth>,
        tls: Tls,
        timeout: Duration,
    ) -> Result<Self, SettingsError> {
        if !endpoint.is_tls() {
            let set = tls.ca_file.as_ref().map(|_| "tls.caFile");
            if let Some(field) = set.or(tls.server_name.as_ref().map(|_| "tls.serverName")) {
                return Err(SettingsError::new(
                    field,
                    format!("it is set, and the endpoint {endpoint} is plain text"),
                    "write the endpoint with `https://`, or remove tls",
                ));
            }
        }
        if let Some(name) = &tls.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            return Err(SettingsError::new(
                "tls.serverName",
                format!("`{name}` is no host name"),
                "write the name in the destination's certificate, for instance `ingest.example.com`",
            ));
        }
        if let Some(path) = &tls.ca_file
            && let Err(error) = crate::tls::read_ca_file(path)
        {
            return Err(SettingsError::new(
                "tls.caFile",
                error.to_string(),
                "give a PEM file with the CA's certificate",
            ));
        }
        if timeout.is_zero() {
            return Err(SettingsError::new(
                "timeout",
                "no request can be answered in no time",
                "write for instance 30s",
            ));
        }
        let temporality = Temporality::default();
        Ok(Self { endpoint, compression, auth, tls, timeout, temporality })
    }

    /// The same, with counters told as `temporality` says; without it they are cumulative.
    #[must_use]
    pub fn with_temporality(self, temporality: Temporality) -> Self {
        Self { temporality, ..self }
    }

    /// How counters are told.
    #[must_use]
    pub fn temporality(&self) -> Temporality {
        self.temporality
    }

    /// Where the destination listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How frames are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The key, if the destination wants one.
    #[must_use]
    pub fn auth(&self) -> Option<&Auth> {
        self.auth.as_ref()
    }

    /// Whom to trust.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The time limit of one request: connecting, sending and reading the answer to its end.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_settings_beside_plain_text_are_refused() {
        let tls = Tls { server_name: Some("a.example".to_owned()), ..Tls::default() };
        let endpoint = Endpoint::parse("http://host:4317").unwrap();
        let error =
            Settings::new(endpoint, Compression::Auto, None, tls, Settings::DEFAULT_TIMEOUT)
                .unwrap_err();
        assert_eq!(error.field(), "tls.serverName");
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate\n").unwrap();
        let tls = Tls { ca_file: Some(file.path().to_owned()), server_name: None };
        let endpoint = Endpoint::parse("https://host:4317").unwrap();
        let error =
            Settings::new(endpoint, Compression::Auto, None, tls, Settings::DEFAULT_TIMEOUT)
                .unwrap_err();
        assert_eq!(error.field(), "tls.caFile");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    }
}
