//! A certificate with its private key, which can be replaced while connections are open.

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use phi_types::{Clock, Timestamp};
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{ResolvesClientCert, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, SignatureScheme};

use super::describe::CertificateDescription;
use super::facts::Facts;
use super::{Reloaded, Roots, TlsError, TlsFile, files, unix_time};

/// A certificate chain and its private key, read from PEM files and checked before they are used.
///
/// Clones share one state. [`reload`](Self::reload) replaces the certificate in every server and client that was built
/// with it: connections that are open go on under the old one, each new handshake uses the new one.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    settings: Settings,
    current: RwLock<Arc<State>>,
    reloading: Mutex<()>,
}

struct Settings {
    chain: PathBuf,
    key: PathBuf,
    names: Vec<String>,
    roots: Option<Roots>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
}

/// One reading of the files.
struct State {
    key: Arc<CertifiedKey>,
    /// Of every certificate of the chain; the first is the own one.
    facts: Vec<Facts>,
}

/// Names the files of an [`Identity`] and what it must hold; made by [`TlsPolicy::identity`](super::TlsPolicy::identity).
#[must_use]
pub struct IdentityBuilder(Settings);

impl IdentityBuilder {
    pub(super) fn new(chain: PathBuf, key: PathBuf, provider: Arc<CryptoProvider>, clock: Arc<dyn Clock>) -> Self {
        Self(Settings { chain, key, names: Vec::new(), roots: None, provider, clock })
    }

    /// A host name or IP address that the certificate must hold, so that one for another server is refused when it is
    /// loaded and not when the first client calls.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.names.push(name.into());
        self
    }

    /// Roots that the chain must lead to, so that a missing intermediate certificate is noticed when it is loaded. With a
    /// [`name`](Self::name) the chain is verified for a server, without one for a client.
    pub fn issued_under(mut self, roots: &Roots) -> Self {
        self.0.roots = Some(roots.clone());
        self
    }

    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`TlsError`], which says what to mend.
    pub fn load(self) -> Result<Identity, TlsError> {
        let state = RwLock::new(Arc::new(State::read(&self.0)?));
        Ok(Identity(Arc::new(Shared { settings: self.0, current: state, reloading: Mutex::new(()) })))
    }
}

impl Identity {
    /// Reads and checks the files again, and takes the certificate that they hold for every handshake from now on. On any
    /// error, also while only one of the two files has been replaced, everything stays as it was.
    ///
    /// # Errors
    /// [`TlsError`], which says what to mend.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        // One at a time, or an older reading could replace a newer one.
        let _alone = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let state = State::read(&self.0.settings)?;
        // The key fits the certificate, so the same certificate means the same key.
        if state.key.cert == self.current().key.cert {
            return Ok(Reloaded::Unchanged);
        }
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        Ok(Reloaded::Replaced)
    }

    /// The last moment at which the whole chain is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        // A chain has at least one certificate.
        self.current().facts.iter().map(|facts| facts.not_after).min().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// How long the chain is still valid, for an alarm; zero when it has expired.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.not_after().saturating_since(self.0.settings.clock.now())
    }

    pub(super) fn describe(&self) -> CertificateDescription {
        CertificateDescription::of(&self.current().facts, self.not_after())
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current().key)
    }

    pub(super) fn files(&self) -> (&Path, &Path) {
        (&self.0.settings.chain, &self.0.settings.key)
    }

    fn current(&self) -> Arc<State> {
        // A poisoned lock holds no half-written state: it is replaced in one step.
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn read(settings: &Settings) -> Result<Self, TlsError> {
        let now = settings.clock.now();
        let chain = files::certificates(&settings.chain, TlsFile::Chain)?;
        let facts = Facts::of_all(&chain, TlsFile::Chain)?;
        for (certificate, facts) in (1..).zip(&facts) {
            let &Facts { not_before, not_after, .. } = facts;
            if !facts.is_valid_at(now) {
                return Err(match now < not_before {
                    true => TlsError::NotYetValid { certificate, not_before },
                    false => TlsError::Expired { certificate, not_after },
                });
            }
        }
        let mut pairs = (1..).zip(facts.iter().zip(facts.iter().skip(1)));
        if let Some((at, _)) = pairs.find(|(_, (issued, issuer))| !issued.is_issued_by(issuer)) {
            return Err(TlsError::ChainOrder(at));
        }
        let key = files::private_key(&settings.key)?;
        let key = settings.provider.key_provider.load_private_key(key).map_err(TlsError::KeyKind)?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => return Err(TlsError::KeyDoesNotFit),
            // `Unknown`: a provider that cannot tell is one that cannot be checked.
            Err(other) => return Err(TlsError::KeyKind(other)),
        }
        verify(settings, &key.cert, unix_time(now))?;
        Ok(Self { key: Arc::new(key), facts })
    }
}

/// Names, and the way to the roots where those are known.
fn verify(settings: &Settings, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<(), TlsError> {
    let malformed = || TlsError::Malformed(TlsFile::Chain, 1);
    let (own, others) = chain.split_first().ok_or_else(malformed)?;
    let parsed = ParsedCertificate::try_from(own).map_err(|_| malformed())?;
    for name in &settings.names {
        let server = ServerName::try_from(name.as_str()).map_err(|_| TlsError::InvalidName)?;
        verify_server_name(&parsed, &server).map_err(|_| TlsError::NameMissing(name.clone()))?;
    }
    let Some(roots) = settings.roots.as_ref().map(Roots::current) else { return Ok(()) };
    let verified = match settings.names.first().map(|name| ServerName::try_from(name.as_str())) {
        None => roots.for_clients.verify_client_cert(own, others, now).map(|_| ()),
        Some(name) => {
            let name = name.map_err(|_| TlsError::InvalidName)?;
            roots.for_servers.verify_server_cert(own, others, &name, &[], now).map(|_| ())
        }
    };
    verified.map_err(refusal)
}

fn refusal(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => TlsError::ChainIncomplete,
        rustls::Error::InvalidCertificate(CertificateError::Revoked) => TlsError::Revoked,
        rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => TlsError::Purpose,
        other => TlsError::ChainRefused(other),
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.current();
        f.debug_struct("Identity")
            .field("sha256", &state.facts.first().map(|facts| &facts.fingerprint))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IdentityBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityBuilder").field("names", &self.0.names).finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.certified();
        key.key.choose_scheme(offered).is_some().then_some(key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
