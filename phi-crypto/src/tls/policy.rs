//! What is allowed on the wire.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use phi_types::{Clock, SystemClock, Timestamp};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

use super::client::TlsClientBuilder;
use super::describe::TlsDescription;
use super::identity::IdentityBuilder;
use super::roots::RootsBuilder;
use super::server::TlsServerBuilder;
use super::{Identity, Roots, TlsError};

/// The suites that the policy knows, best first. Whatever else a provider offers, now or later, is left out.
const SUITES: [CipherSuite; 9] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// The key exchanges that the policy knows, best first.
const GROUPS: [NamedGroup; 4] =
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

/// The protocol versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TlsVersions {
    /// TLS 1.3, and TLS 1.2 for peers that have nothing newer.
    #[default]
    Tls13AndTls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// What is allowed on the wire, the same for every server and client that is made of it.
///
/// TLS 1.3 is preferred. TLS 1.2 is spoken with ephemeral elliptic-curve key exchange, an authenticated cipher and extended
/// master secrets alone; older versions, static RSA, finite-field Diffie–Hellman, CBC, renegotiation, compression and early
/// data are not there. The cryptographic provider is ring, named explicitly: the process default is neither used nor set.
#[derive(Clone)]
pub struct TlsPolicy {
    provider: Arc<CryptoProvider>,
    provider_name: &'static str,
    versions: TlsVersions,
    clock: Arc<dyn Clock>,
}

impl TlsPolicy {
    /// TLS 1.3 and 1.2 on ring, with the operating system's clock.
    #[must_use]
    pub fn new() -> Self {
        let mut provider = rustls::crypto::ring::default_provider();
        narrow(&mut provider);
        let clock = Arc::new(SystemClock::new());
        Self { provider: Arc::new(provider), provider_name: "ring", versions: TlsVersions::default(), clock }
    }

    /// Sets the protocol versions.
    #[must_use]
    pub const fn versions(mut self, versions: TlsVersions) -> Self {
        self.versions = versions;
        self
    }

    /// Where time comes from, for the validity of certificates and revocation lists.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another cryptographic provider, such as one on a validated module. Of what it offers, only what the policy allows is
    /// used.
    ///
    /// # Errors
    /// [`TlsError::NothingAllowed`] when nothing is left for TLS 1.3.
    pub fn on_provider(mut self, mut provider: CryptoProvider) -> Result<Self, TlsError> {
        narrow(&mut provider);
        if !provider.cipher_suites.iter().any(|suite| matches!(suite, SupportedCipherSuite::Tls13(_))) {
            return Err(TlsError::NothingAllowed("suite of TLS 1.3"));
        }
        if provider.kx_groups.is_empty() {
            return Err(TlsError::NothingAllowed("key exchange"));
        }
        self.provider = Arc::new(provider);
        self.provider_name = "chosen by the application";
        Ok(self)
    }

    /// Authorities to believe, in a PEM file.
    pub fn roots(&self, file: impl Into<PathBuf>) -> RootsBuilder {
        RootsBuilder::new(file.into(), self.provider(), Arc::clone(&self.clock))
    }

    /// A certificate with its chain, and its private key, in two PEM files.
    pub fn identity(&self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> IdentityBuilder {
        IdentityBuilder::new(chain.into(), key.into(), self.provider(), Arc::clone(&self.clock))
    }

    /// A server with this certificate.
    pub fn server(&self, identity: &Identity) -> TlsServerBuilder {
        TlsServerBuilder::new(self.clone(), identity.clone())
    }

    /// A client that believes these roots and no others.
    pub fn client(&self, roots: &Roots) -> TlsClientBuilder {
        TlsClientBuilder::new(self.clone(), roots.clone())
    }

    /// What the policy allows, without the certificates of a server or client.
    #[must_use]
    pub fn describe(&self) -> TlsDescription {
        let versions = self.protocol_versions();
        let suites = self.provider.cipher_suites.iter().filter(|suite| versions.contains(&suite.version()));
        TlsDescription {
            provider: self.provider_name.to_owned(),
            fips: self.provider.fips(),
            versions: versions.iter().map(|version| format!("{:?}", version.version)).collect(),
            suites: suites.map(|suite| format!("{:?}", suite.suite())).collect(),
            groups: self.provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect(),
            ..TlsDescription::default()
        }
    }

    pub(super) const fn allowed(&self) -> TlsVersions {
        self.versions
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }

    pub(super) fn time(&self) -> Arc<dyn TimeProvider> {
        Arc::new(Time(Arc::clone(&self.clock)))
    }

    pub(super) const fn protocol_versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self.versions {
            TlsVersions::Tls13AndTls12 => &BOTH,
            TlsVersions::Tls13 => &NEWEST,
        }
    }
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TlsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPolicy")
            .field("provider", &self.provider_name)
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

/// Leaves what the policy allows, in the policy's order.
fn narrow(provider: &mut CryptoProvider) {
    let suites = core::mem::take(&mut provider.cipher_suites);
    provider.cipher_suites =
        SUITES.iter().filter_map(|name| suites.iter().find(|suite| suite.suite() == *name)).copied().collect();
    let groups = core::mem::take(&mut provider.kx_groups);
    provider.kx_groups =
        GROUPS.iter().filter_map(|name| groups.iter().find(|group| group.name() == *name)).copied().collect();
}

#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

/// A time before 1970 counts as 1970: no certificate is valid then either.
pub(super) fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_unix_seconds()).unwrap_or(0)))
}
