//! Where a destination listens.

use std::fmt;

use http::Uri;

use super::SettingsError;

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
}
