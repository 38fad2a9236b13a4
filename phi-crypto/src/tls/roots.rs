//! The authorities whose certificates are believed, and what they have revoked.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use phi_types::{Clock, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::facts::Facts;
use super::files;
use super::{Reloaded, TlsError, TlsFile};

/// Authorities, and optionally what they have revoked, read from PEM files. Clones share one state, so that a
/// [`reload`](Self::reload) reaches every server and client that was built with them; connections that are open stay.
///
/// With revocation lists, every certificate of a peer's chain is looked up. A certificate that no list covers is refused,
/// and so is every certificate while the list of its authority is out of date.
#[derive(Clone)]
pub struct Roots(Arc<Shared>);

struct Shared {
    settings: Settings,
    current: RwLock<Arc<State>>,
    reloading: Mutex<()>,
}

struct Settings {
    file: PathBuf,
    lists: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
}

/// One reading of the files.
pub(super) struct State {
    certificates: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// Sorted.
    pub(super) fingerprints: Vec<String>,
    /// When the first of the revocation lists has to be replaced.
    pub(super) lists_until: Option<Timestamp>,
    pub(super) for_clients: Arc<dyn ClientCertVerifier>,
    pub(super) for_servers: Arc<WebPkiServerVerifier>,
}

/// Names the files of [`Roots`]; made by [`TlsPolicy::roots`](super::TlsPolicy::roots).
#[must_use]
pub struct RootsBuilder(Settings);

impl RootsBuilder {
    pub(super) fn new(file: PathBuf, provider: Arc<CryptoProvider>, clock: Arc<dyn Clock>) -> Self {
        Self(Settings { file, lists: None, provider, clock })
    }

    /// A PEM file with the current revocation lists of all authorities that occur in chains, the roots' own included.
    /// Fetching them is up to the application; [`Roots::reload`] takes new ones.
    pub fn revocation_lists(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.lists = Some(file.into());
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which says what to mend.
    pub fn load(self) -> Result<Roots, TlsError> {
        let state = RwLock::new(Arc::new(State::read(&self.0)?));
        Ok(Roots(Arc::new(Shared { settings: self.0, current: state, reloading: Mutex::new(()) })))
    }
}

impl Roots {
    /// Reads the files again. On any error, everything stays as it was. A client that was built before resumes no session
    /// after others were read: one that is resumed shows no certificate.
    ///
    /// # Errors
    /// [`TlsError`], which says what to mend.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        // One at a time, or an older reading could replace a newer one.
        let _alone = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let state = State::read(&self.0.settings)?;
        let now = self.current();
        if (&state.certificates, &state.lists) == (&now.certificates, &now.lists) {
            return Ok(Reloaded::Unchanged);
        }
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        Ok(Reloaded::Replaced)
    }

    pub(super) fn current(&self) -> Arc<State> {
        // A poisoned lock holds no half-written state: it is replaced in one step.
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn file(&self) -> &Path {
        &self.0.settings.file
    }

    pub(super) fn has_revocation_lists(&self) -> bool {
        self.0.settings.lists.is_some()
    }
}

impl State {
    fn read(settings: &Settings) -> Result<Self, TlsError> {
        let now = settings.clock.now();
        let certificates = files::certificates(&settings.file, TlsFile::Roots)?;
        let facts = Facts::of_all(&certificates, TlsFile::Roots)?;
        // A bundle of public authorities holds expired ones at times; they verify nothing.
        if !facts.iter().any(|facts| facts.is_valid_at(now)) {
            return Err(TlsError::NoValidRoot);
        }
        let mut fingerprints: Vec<_> = facts.into_iter().map(|facts| facts.fingerprint).collect();
        fingerprints.sort_unstable();

        let mut store = RootCertStore::empty();
        for (at, certificate) in (1..).zip(&certificates) {
            store.add(certificate.clone()).map_err(|_| TlsError::Malformed(TlsFile::Roots, at))?;
        }
        let store = Arc::new(store);

        let lists = settings.lists.as_deref().map(files::revocation_lists).transpose()?.unwrap_or_default();
        let lists_until =
            (1..).zip(&lists).map(|(at, list)| valid_until(at, list, now)).collect::<Result<Vec<_>, _>>()?;

        let refused = TlsError::configuration;
        let for_clients = WebPkiClientVerifier::builder_with_provider(store.clone(), settings.provider.clone())
            .with_crls(lists.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(refused)?;
        let for_servers = WebPkiServerVerifier::builder_with_provider(store, settings.provider.clone())
            .with_crls(lists.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(refused)?;
        let lists_until = lists_until.into_iter().min();
        Ok(Self { certificates, lists, fingerprints, lists_until, for_clients, for_servers })
    }
}

/// Until when a revocation list is current; one that names no end never is.
fn valid_until(at: usize, list: &[u8], now: Timestamp) -> Result<Timestamp, TlsError> {
    let malformed = || TlsError::Malformed(TlsFile::RevocationLists, at);
    let (_, list) = CertificateRevocationList::from_der(list).map_err(|_| malformed())?;
    let next_update = Timestamp::from_unix_seconds(list.next_update().ok_or_else(malformed)?.timestamp());
    if next_update < now { Err(TlsError::RevocationListExpired { list: at, next_update }) } else { Ok(next_update) }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("sha256", &self.current().fingerprints).finish_non_exhaustive()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("sha256", &self.fingerprints).finish_non_exhaustive()
    }
}

impl fmt::Debug for RootsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootsBuilder").finish_non_exhaustive()
    }
}

/// Verifies clients by what the roots are at the moment of the handshake.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) roots: Roots,
    pub(super) mandatory: bool,
    /// The names of the roots as they were when the server was built; a hint for the client, nothing more.
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub(super) fn new(roots: Roots, mandatory: bool) -> Self {
        let hints = roots.current().for_clients.root_hint_subjects().to_vec();
        Self { roots, mandatory, hints }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.roots.current().for_clients.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.roots.current().for_clients.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.roots.current().for_clients.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.current().for_clients.supported_verify_schemes()
    }
}

/// Verifies servers by what the roots are at the moment of the handshake.
#[derive(Debug)]
pub(super) struct ServerVerifier(pub(super) Roots);

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.current().for_servers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.current().for_servers.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.current().for_servers.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.current().for_servers.supported_verify_schemes()
    }
}
