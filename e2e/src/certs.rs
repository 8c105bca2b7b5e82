//! The bare cluster's certificates and keys: an authority of its own, the certificates of the API
//! server and of the kubelets, its client certificate for calls to the kubelet, and the key that signs service account tokens.

use std::path::PathBuf;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::work::Work;

/// Where the PEM files are.
#[derive(Clone, Debug)]
pub(crate) struct Certs {
    folder: PathBuf,
}

impl Certs {
    /// Where a run's files are.
    pub(crate) fn of(work: &Work) -> Self {
        Self { folder: work.run().join("pki") }
    }

    /// Makes all of them anew: what serves is verified by these names and addresses.
    pub(crate) fn create(work: &Work, api_names: &[&str], nodes: &[&str]) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        authority.distinguished_name.push(DnType::CommonName, "hawsepipe-e2e");
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        work.run_file("pki/ca.crt", authority_pem)?;

        for (file, common_name, names) in
            [("apiserver", "kube-apiserver", api_names), ("kubelet-serving", "kubelet", nodes)]
        {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut server = CertificateParams::new(names)?;
            server.distinguished_name.push(DnType::CommonName, common_name);
            server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate()?;
            work.run_file(&format!("pki/{file}.crt"), server.signed_by(&key, &issuer)?.pem())?;
            work.run_file(&format!("pki/{file}.key"), key.serialize_pem())?;
        }

        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, "kube-apiserver-kubelet-client");
        client.distinguished_name.push(DnType::OrganizationName, "system:masters");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        work.run_file("pki/kubelet-client.crt", client.signed_by(&key, &issuer)?.pem())?;
        work.run_file("pki/kubelet-client.key", key.serialize_pem())?;

        let accounts = KeyPair::generate()?;
        work.run_file("pki/sa.key", accounts.serialize_pem())?;
        work.run_file("pki/sa.pub", accounts.public_key_pem())?;
        Ok(Self::of(work))
    }

    /// The path of one, e.g. `ca.crt`.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}
