//! Whom to take for the kubelet.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{KubeletError, KubeletSettings};

/// Trusts the cluster's CA and the configured one; `unverified` is told if a certificate is taken that neither
/// vouches for.
pub(super) fn config(
    settings: &KubeletSettings,
    unverified: Arc<Mutex<Option<String>>>,
) -> Result<Arc<ClientConfig>, KubeletError> {
    let cluster = settings.service_account.join("ca.crt");
    let mut roots = RootCertStore::empty();
    let of_cluster = add(&cluster, &mut roots);
    match &settings.ca_file {
        Some(path) => add(path, &mut roots)?,
        None if settings.insecure_skip_verify => {}
        None => of_cluster?,
    }
    let provider = Arc::new(ring::default_provider());
    let by = if roots.is_empty() {
        None
    } else {
        let roots = Arc::new(roots);
        let by = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let failed = |error: rustls::client::VerifierBuilderError| KubeletError::NoCa {
            path: cluster,
            reason: error.to_string(),
        };
        Some(by.map_err(failed)?)
    };
    let verifier = Verifier {
        by,
        node_name: ServerName::try_from(settings.node_name.clone()).ok(),
        takes_any: settings.insecure_skip_verify,
        unverified,
        provider: Arc::clone(&provider),
    };
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| KubeletError::Untrusted { reason: error.to_string() })?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Adds the certificates of a PEM file. What is no CA by its form is passed over: bundles of systems have such.
fn add(path: &Path, roots: &mut RootCertStore) -> Result<(), KubeletError> {
    let failed = |reason: String| KubeletError::NoCa { path: path.to_owned(), reason };
    let content = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| failed(error.to_string()))?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(failed("it holds no certificate".to_owned())),
        _ => Ok(()),
    }
}

/// A kubelet's certificate names its addresses, or only the node.
#[derive(Debug)]
struct Verifier {
    /// `None`: nobody is trusted.
    by: Option<Arc<WebPkiServerVerifier>>,
    node_name: Option<ServerName<'static>>,
    takes_any: bool,
    unverified: Arc<Mutex<Option<String>>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(by) = &self.by else { return Err(Error::General("there is no CA".to_owned())) };
        let by_address = by.verify_server_cert(certificate, intermediates, name, &[], now);
        by_address.or_else(|error| {
            let Some(name) = &self.node_name else { return Err(error) };
            // What is told is what is wrong with the address.
            by.verify_server_cert(certificate, intermediates, name, &[], now)
                .map_err(|_by_name| error)
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verify(certificate, intermediates, name, now) {
            Err(error) if self.takes_any => {
                *self.unverified.lock() = Some(error.to_string());
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
