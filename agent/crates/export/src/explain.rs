//! What a transport error means, for a person.
//!
//! In: an error of the gRPC library with its chain of causes. Out: one line that says what went wrong and, where it
//! can be known, what to do. Libraries print "transport error" and hide the cause.

use std::error::Error;

use rustls::CertificateError;

use crate::settings::{Endpoint, Tls};

/// The longest text of someone else that is repeated in a reason, in characters.
const MAX_WORDS: usize = 400;

/// One line for `error` on the way to `endpoint`.
pub(crate) fn transport(error: &(dyn Error + 'static), endpoint: &Endpoint, tls: &Tls) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut remedy = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        // Wrappers that repeat their cause say nothing more.
        if !causes.iter().any(|said| said.contains(&text)) && text != "transport error" {
            causes.push(text);
        }
        if let Some(tls_error) = as_rustls(cause) {
            remedy = tls_remedy(tls_error, endpoint, tls);
        }
        if cause.to_string().contains("HTTP/2 was not negotiated") {
            remedy = Some("the server does not speak gRPC on this port".to_owned());
        }
        next = cause.source();
    }
    let said = if causes.is_empty() { error.to_string() } else { causes.join(": ") };
    match remedy {
        Some(remedy) => format!("{}; {remedy}", words(&said)),
        None => words(&said),
    }
}

/// Whether `E` is among the causes of `error`.
pub(crate) fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&cause| cause.source()).any(|cause| cause.is::<E>())
}

/// `io::Error` passes over the error that it wraps when it is asked for its source.
fn as_rustls<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref::<rustls::Error>().or_else(|| {
        let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
        inner.downcast_ref::<rustls::Error>()
    })
}

fn tls_remedy(error: &rustls::Error, endpoint: &Endpoint, tls: &Tls) -> Option<String> {
    let trusted = tls.ca_file.as_ref().map_or_else(
        || "the system's CAs; give its CA in tls.caFile".to_owned(),
        |path| format!("the CA in {}; put the right CA there", path.display()),
    );
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Some(format!("the certificate of {endpoint} is not signed by {trusted}")),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(format!(
            "the certificate of {endpoint} is for another name; give that name in tls.serverName"
        )),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Some(format!(
            "the certificate of {endpoint} has expired, or this node's clock is wrong"
        )),
        rustls::Error::InvalidMessage(_) => {
            Some(format!("{endpoint} does not seem to speak TLS; for plain text write `http://`"))
        }
        _ => None,
    }
}

/// Someone else's words, on one line, without control characters, not endless.
pub(crate) fn words(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_WORDS));
    for (count, character) in
        text.split_whitespace().flat_map(|word| word.chars().chain([' '])).enumerate()
    {
        if count == MAX_WORDS {
            line.push_str("...");
            break;
        }
        line.push(if character.is_control() { '?' } else { character });
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_others_stay_one_short_line() {
        assert_eq!(words("<html>\n  <b>503\u{1b}[31m</b>\n"), "<html> <b>503?[31m</b>");
        let long = words(&"x".repeat(100_000));
        assert!(long.ends_with("...") && long.len() <= MAX_WORDS + 3);
    }

    #[test]
    fn an_unknown_issuer_names_the_ca_file() {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::new(std::io::ErrorKind::InvalidData, unknown);
        let endpoint = Endpoint::parse("https://host:4317").unwrap();
        let tls = Tls { ca_file: Some("/etc/ca.crt".into()), server_name: None };
        let said = transport(&wrapped, &endpoint, &tls);
        assert!(said.contains("not signed by the CA in /etc/ca.crt"), "{said}");
        assert_eq!(said.matches("UnknownIssuer").count(), 1, "{said}");
    }
}
