//! What a destination is told: endpoint, compression, key, TLS, time limit.
//!
//! In: the strings of a config. Out: values that cannot be wrong, or a [`SettingsError`] that names the key, the
//! reason and the remedy. The binary reads the YAML; nothing here knows of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use hawsepipe_model::Codec;
use http::{HeaderName, Uri};

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

/// Where a gRPC destination listens: `http://` (plain text) or `https://`, host, port; no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Endpoint {
    /// Reads an endpoint. Without a port it is the scheme's, 443 or 80.
    ///
    /// # Errors
    /// When the scheme is missing or another, the host is missing, or there is a path or a user.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let wrong = |reason: String, remedy: &str| SettingsError::new("endpoint", reason, remedy);
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong(
                format!("`{text}` has no scheme"),
                "write `https://host:4317`, or `http://host:4317` for plain text",
            ));
        };
        let tls = match scheme {
            "https" => true,
            "http" => false,
            other => {
                return Err(wrong(
                    format!("the scheme `{other}` is not known"),
                    "write `https://host:4317`, or `http://host:4317` for plain text",
                ));
            }
        };
        if rest.contains('@') {
            // The text may hold a password: it is not repeated.
            return Err(wrong(
                "user and password in an endpoint are not supported".to_owned(),
                "remove everything up to `@` and give the key with auth.keyFile",
            ));
        }
        if rest.is_empty() || rest.starts_with([':', '/']) {
            return Err(wrong(format!("`{text}` has no host"), "write `https://host:4317`"));
        }
        let uri: Uri = text.parse().map_err(|error| {
            wrong(format!("`{text}` is no URL: {error}"), "write `https://host:4317`")
        })?;
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(wrong(format!("`{text}` has no host"), "write `https://host:4317`"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong(
                format!("`{text}` has a path, which gRPC has no use for"),
                "write scheme, host and port alone",
            ));
        }
        // `http` takes whatever stands behind the colon.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.len() > host.len() && uri.port_u16().is_none() {
            return Err(wrong(
                format!("`{text}` has a port that is no number up to 65535"),
                "write for instance `https://host:4317`",
            ));
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }

    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
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
        Ok(Self { endpoint, compression, auth, tls, timeout })
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

    fn refused(text: &str) -> String {
        Endpoint::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_endpoint_without_a_scheme_is_told_how_to_write_one() {
        let error = refused("ingest.example.com:4317");
        assert!(error.contains("has no scheme"), "{error}");
        assert!(error.contains("https://host:4317") && error.contains("http://"), "{error}");
    }

    #[test]
    fn an_endpoint_that_cannot_be_reached_over_grpc_is_refused() {
        assert!(refused("grpc://host:4317").contains("scheme `grpc`"));
        assert!(refused("https://").contains("no host"));
        assert!(refused("https://:4317").contains("no host"));
        assert!(refused("https://host:4317/v1/logs").contains("path"));
        assert!(refused("https://host:port").contains("port that is no number"));
        assert!(refused("https://host:99999").contains("port that is no number"));
        assert!(refused("https://ho st:4317").contains("no URL"));
        let error = refused("https://user:secret@host:4317");
        assert!(error.contains("password") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn an_endpoint_reads_back_with_its_port() {
        for (text, shown) in [
            ("https://ingest.example.com", "https://ingest.example.com:443"),
            ("http://10.0.0.1:4317/", "http://10.0.0.1:4317"),
            ("http://[::1]:4317", "http://[::1]:4317"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown);
        }
    }

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
