//! What is in force, in words and as data, for the evidence of an audit.

use core::fmt;

use phi_types::Timestamp;

use super::Roots;
use super::facts::Facts;

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ClientCertificates {
    /// A policy alone, of neither a server nor a client.
    #[default]
    Unspecified,
    /// A server that asks for none.
    NotRequested,
    /// A server that asks, and verifies what it gets.
    Requested,
    /// A server that talks to nobody without.
    Required,
    /// A client without one.
    NotPresented,
    /// A client with one.
    Presented,
}

/// What a server, a client or a policy does. Holds no secret; the same settings give the same text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TlsDescription {
    /// The cryptographic provider.
    pub provider: String,
    /// Whether the provider says of itself that it is a validated module in its approved mode.
    pub fips: bool,
    /// Protocol versions, the preferred one first.
    pub versions: Vec<String>,
    /// Cipher suites by their IANA names as rustls writes them, the preferred one first.
    pub suites: Vec<String>,
    /// Key exchange groups, the preferred one first.
    pub groups: Vec<String>,
    /// Whether sessions can be resumed, in which case certificates are not looked at again.
    pub resumption: bool,
    /// Whether clients show certificates.
    pub client_certificates: ClientCertificates,
    /// The own certificates.
    pub certificates: Vec<CertificateDescription>,
    /// SHA-256 of the certificates of the authorities that are believed, sorted.
    pub roots: Vec<String>,
    /// When the first of the revocation lists has to be replaced; absent when revocation is not checked.
    pub revocation_lists_until: Option<Timestamp>,
}

/// A certificate of a server or client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CertificateDescription {
    /// SHA-256 of the certificate.
    pub sha256: String,
    /// Host names and IP addresses.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when the whole chain is valid.
    pub not_after: Timestamp,
    /// How many certificates the chain has.
    pub chain: usize,
}

impl CertificateDescription {
    pub(super) fn of(chain: &[Facts], not_after: Timestamp) -> Self {
        let own = chain.first();
        Self {
            sha256: own.map(|own| own.fingerprint.clone()).unwrap_or_default(),
            names: own.map(|own| own.names.clone()).unwrap_or_default(),
            not_before: own.map_or(Timestamp::UNIX_EPOCH, |own| own.not_before),
            not_after,
            chain: chain.len(),
        }
    }
}

impl TlsDescription {
    pub(super) fn set_roots(&mut self, roots: &Roots) {
        let state = roots.current();
        self.roots.clone_from(&state.fingerprints);
        self.revocation_lists_until = state.lists_until;
    }
}

/// One line for each fact, in a fixed order.
impl fmt::Display for TlsDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.fips { "validated module in approved mode" } else { "no validated module" };
        writeln!(f, "provider: {}, {mode}", self.provider)?;
        writeln!(f, "protocol versions: {}", self.versions.join(", "))?;
        writeln!(f, "cipher suites: {}", self.suites.join(", "))?;
        writeln!(f, "key exchange: {}", self.groups.join(", "))?;
        writeln!(f, "extended master secret in TLS 1.2: required")?;
        writeln!(f, "early data: refused")?;
        writeln!(f, "session resumption: {}", if self.resumption { "yes" } else { "no" })?;
        let clients = match self.client_certificates {
            ClientCertificates::Unspecified => "by server or client",
            ClientCertificates::NotRequested => "not requested",
            ClientCertificates::Requested => "requested, verified when presented",
            ClientCertificates::Required => "required and verified",
            ClientCertificates::NotPresented => "none to present",
            ClientCertificates::Presented => "presented when requested",
        };
        writeln!(f, "client certificates: {clients}")?;
        for certificate in &self.certificates {
            let CertificateDescription { sha256, names, not_before, not_after, chain } = certificate;
            writeln!(f, "certificate: sha256 {sha256}")?;
            writeln!(f, "  names: {}", names.join(", "))?;
            writeln!(f, "  valid: {not_before} to {not_after}, chain of {chain}")?;
        }
        for root in &self.roots {
            writeln!(f, "root: sha256 {root}")?;
        }
        match self.revocation_lists_until {
            Some(until) => writeln!(f, "revocation: lists, current until {until}"),
            None => writeln!(f, "revocation: not checked"),
        }
    }
}
