//! Whom a connection trusts: the system's CAs or those in a file. rustls with ring, nothing else.
//!
//! In: [`Tls`] settings. Out: tonic's client configuration, or which file is wrong and why. The CA file is read anew
//! for each connection, and [`Trust::changed`] says when the one in use is out of date.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{RootCertStore, pki_types::pem};
use tonic::transport::ClientTlsConfig;

use crate::settings::Tls;

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The CA file cannot be read.
    #[error("cannot read the CA file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// The CA file is no PEM.
    #[error("the CA file {} is no PEM: {reason}", path.display())]
    NotPem { path: PathBuf, reason: String },
    /// The CA file holds something, but no certificate.
    #[error("the CA file {} holds no certificate (no `BEGIN CERTIFICATE`)", path.display())]
    NoCertificate { path: PathBuf },
    /// A certificate in the CA file cannot be used.
    #[error("certificate {number} in the CA file {} cannot be used: {reason}", path.display())]
    Unusable { path: PathBuf, number: usize, reason: String },
    /// The system has no CAs.
    #[error(
        "this system has no CA certificates{detail}; give the destination's CA in tls.caFile, or \
         point SSL_CERT_FILE at a bundle"
    )]
    NoSystemRoots { detail: String },
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { modified: meta.modified().ok(), len: meta.len(), inode: meta.ino() })
    }
}

/// The trust of one destination's connections.
#[derive(Debug)]
pub(crate) struct Trust {
    settings: Tls,
    stamp: Option<Stamp>,
}

impl Trust {
    pub(crate) fn new(settings: Tls) -> Self {
        Self { settings, stamp: None }
    }

    pub(crate) fn settings(&self) -> &Tls {
        &self.settings
    }

    /// The configuration of a new connection, from the files as they are now.
    pub(crate) fn client_config(&mut self) -> Result<ClientTlsConfig, TlsError> {
        let roots = match &self.settings.ca_file {
            Some(path) => {
                // Taken before reading: a change in between is then seen as one.
                self.stamp = Stamp::of(path);
                read_ca_file(path)?
            }
            None => system_roots()?,
        };
        let mut config = ClientTlsConfig::new().trust_anchors(roots.roots);
        if let Some(name) = &self.settings.server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }

    /// Whether the CA file is another than the connection was made with. A file that is gone is no change.
    pub(crate) fn changed(&self) -> bool {
        let Some(path) = &self.settings.ca_file else {
            return false;
        };
        let now = Stamp::of(path);
        now.is_some() && now != self.stamp
    }
}

/// The CA certificates in a PEM file; every one must be usable.
pub(crate) fn read_ca_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let owned = || path.to_owned();
    let content =
        std::fs::read(path).map_err(|source| TlsError::Unreadable { path: owned(), source })?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&content).enumerate() {
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(pem::Error::NoItemsFound) => break,
            Err(error) => {
                return Err(TlsError::NotPem { path: owned(), reason: error.to_string() });
            }
        };
        roots.add(certificate).map_err(|error| TlsError::Unusable {
            path: owned(),
            number: index + 1,
            reason: error.to_string(),
        })?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate { path: owned() });
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems ship certificates that webpki does not take; the others count.
    let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let detail = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TlsError::NoSystemRoots { detail });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ca() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_ca_file_that_is_wrong_is_named_with_what_is_wrong_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let error = || read_ca_file(&path).unwrap_err().to_string();

        assert!(error().contains("cannot read") && error().contains("ca.crt"), "{}", error());
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(&path, key).unwrap();
        assert!(error().contains("holds no certificate"), "{}", error());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
        assert!(error().contains("no PEM"), "{}", error());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, format!("{}{broken}", ca())).unwrap();
        assert!(error().contains("certificate 2"), "{}", error());
        std::fs::write(&path, ca()).unwrap();
        assert_eq!(read_ca_file(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_new_ca_file_is_noticed_and_a_missing_one_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        std::fs::write(&path, ca()).unwrap();
        let mut trust = Trust::new(Tls { ca_file: Some(path.clone()), server_name: None });
        trust.client_config().unwrap();
        assert!(!trust.changed());
        let next = dir.path().join("next");
        std::fs::write(&next, ca()).unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert!(trust.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!trust.changed());
    }
}
