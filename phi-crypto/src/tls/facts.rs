//! What a certificate says about itself.

use phi_types::Timestamp;
use ring::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{TlsError, TlsFile};

/// Read without verifying anything.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    /// Host names and IP addresses, as they stand in the certificate.
    pub(super) names: Vec<String>,
    /// SHA-256 of the certificate, in hexadecimal.
    pub(super) fingerprint: String,
}

impl Facts {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let names = match parsed.subject_alternative_name().ok()? {
            Some(extension) => extension.value.general_names.iter().filter_map(name).collect(),
            None => Vec::new(),
        };
        Some(Self {
            not_before: Timestamp::from_unix_seconds(parsed.validity().not_before.timestamp()),
            not_after: Timestamp::from_unix_seconds(parsed.validity().not_after.timestamp()),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            names,
            fingerprint: fingerprint(certificate),
        })
    }

    pub(super) fn of_all(certificates: &[CertificateDer<'_>], role: TlsFile) -> Result<Vec<Self>, TlsError> {
        let one = |(at, certificate)| Self::of(certificate).ok_or(TlsError::Malformed(role, at));
        (1..).zip(certificates).map(one).collect()
    }

    pub(super) fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer == other.subject
    }

    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        // Whole seconds, as certificates have them: the last one counts in full.
        let seconds = |time: Timestamp| time.as_unix_seconds();
        (seconds(self.not_before)..=seconds(self.not_after)).contains(&seconds(now))
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = || <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
            let v6 = || <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
            v4().or_else(v6)
        }
        _ => None,
    }
}

fn fingerprint(der: &[u8]) -> String {
    use core::fmt::Write as _;

    let digest = digest::digest(&digest::SHA256, der);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
