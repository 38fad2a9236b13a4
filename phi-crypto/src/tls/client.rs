//! Clients.

use core::fmt;
use std::sync::Arc;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};

use super::describe::{ClientCertificates, TlsDescription};
use super::roots::{ServerVerifier, State};
use super::{Identity, Roots, TlsError, TlsPolicy, protocols};

/// A client's settings; made by [`TlsPolicy::client`].
#[must_use]
#[derive(Debug)]
pub struct TlsClientBuilder {
    policy: TlsPolicy,
    roots: Roots,
    identity: Option<Identity>,
    protocols: Vec<Vec<u8>>,
}

/// A rustls configuration for clients, its description, and what libraries with a TLS of their own can be told of it.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    pub(super) policy: TlsPolicy,
    pub(super) roots: Roots,
    pub(super) identity: Option<Identity>,
}

impl TlsClientBuilder {
    pub(super) fn new(policy: TlsPolicy, roots: Roots) -> Self {
        Self { policy, roots, identity: None, protocols: Vec::new() }
    }

    /// The certificate for servers that ask for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The application's protocols, the preferred one first, such as `h2` and `http/1.1`.
    pub fn protocols<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.protocols = protocols.into_iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`TlsError::Protocol`], and [`TlsError::Configuration`] when rustls refuses it.
    pub fn build(self) -> Result<TlsClient, TlsError> {
        let Self { policy, roots, identity, protocols: names } = self;
        let builder = ClientConfig::builder_with_details(policy.provider(), policy.time())
            .with_protocol_versions(policy.protocol_versions())
            .map_err(TlsError::configuration)?
            // The name of the interface. What is set is the verifier of rustls itself, exchanged when the roots are reloaded.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier(roots.clone())));
        let mut config = match &identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.clone())),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols(names)?;
        config.require_ems = true;
        // Early data can be replayed.
        config.enable_early_data = false;
        config.resumption = if roots.has_revocation_lists() {
            // A resumed session shows no certificate that could have been revoked meanwhile.
            Resumption::disabled()
        } else {
            Resumption::store(Arc::new(Sessions::new(&roots)))
        };
        Ok(TlsClient { config: Arc::new(config), policy, roots, identity })
    }
}

impl TlsClient {
    /// For `tokio_rustls::TlsConnector`, `reqwest`, `hyper-rustls`, `rustls::ClientConnection` and whatever else takes one.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// What is in force at this moment, for the evidence of an audit.
    #[must_use]
    pub fn describe(&self) -> TlsDescription {
        let mut description = self.policy.describe();
        description.certificates = self.identity.iter().map(Identity::describe).collect();
        description.client_certificates = match self.identity {
            Some(_) => ClientCertificates::Presented,
            None => ClientCertificates::NotPresented,
        };
        description.resumption = !self.roots.has_revocation_lists();
        description.set_roots(&self.roots);
        description
    }
}

/// Servers of which a client remembers sessions, as many as rustls does.
const SERVERS: usize = 256;

/// Sessions to resume, for as long as the roots are those that the client was built with. A resumed session shows no
/// certificate, and a connection that is still open brings further sessions under the authority that is no longer believed.
#[derive(Debug)]
struct Sessions {
    kept: ClientSessionMemoryCache,
    roots: Roots,
    since: Arc<State>,
}

impl Sessions {
    fn new(roots: &Roots) -> Self {
        Self { kept: ClientSessionMemoryCache::new(SERVERS), since: roots.current(), roots: roots.clone() }
    }

    fn are_believed(&self) -> bool {
        Arc::ptr_eq(&self.since, &self.roots.current())
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server).filter(|_| self.are_believed())
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.kept.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server).filter(|_| self.are_believed())
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("policy", &self.policy)
            .field("roots", &self.roots)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
