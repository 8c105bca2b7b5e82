//! TLS of both ports: rustls with ring, the certificate read again when its files change.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::watched::Watched;

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, with the intermediate ones behind it, in PEM.
    pub cert_file: PathBuf,
    /// Its private key, in PEM (PKCS#8, PKCS#1 or SEC1).
    pub key_file: PathBuf,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read {what} from {}: {reason}", path.display())]
    Unreadable {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key cannot be used, or not together.
    #[error("the certificate in {} and the key in {} cannot be used: {source}", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// rustls' word.
        source: rustls::Error,
    },
}

/// An acceptor for each port.
pub(crate) struct Acceptors {
    pub(crate) grpc: TlsAcceptor,
    pub(crate) http: TlsAcceptor,
}

pub(crate) fn acceptors(files: &TlsFiles) -> Result<Acceptors, TlsError> {
    let unusable = |source| TlsError::Unusable {
        cert: files.cert_file.clone(),
        key: files.key_file.clone(),
        source,
    };
    let paths = vec![files.cert_file.clone(), files.key_file.clone()];
    let load = {
        let files = files.clone();
        move || certified_key(&files)
    };
    let resolver = Arc::new(Resolver(Watched::new("the certificate", paths, load)?));
    let acceptor = |protocols: &[&str]| {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    };
    Ok(Acceptors { grpc: acceptor(&["h2"])?, http: acceptor(&["h2", "http/1.1"])? })
}

#[derive(Debug)]
struct Resolver(Watched<Arc<CertifiedKey>, TlsError>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.get()))
    }
}

fn certified_key(files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let unusable = |source| TlsError::Unusable {
        cert: files.cert_file.clone(),
        key: files.key_file.clone(),
        source,
    };
    let unreadable = |what, path: &Path, reason: String| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        reason,
    };
    let cert_error = |reason| unreadable("the certificate", &files.cert_file, reason);
    let file = File::open(&files.cert_file).map_err(|error| cert_error(error.to_string()))?;
    let chain = CertificateDer::pem_reader_iter(BufReader::new(file))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| cert_error(error.to_string()))?;
    if chain.is_empty() {
        return Err(cert_error("no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| unreadable("the private key", &files.key_file, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new).map_err(unusable)
}
