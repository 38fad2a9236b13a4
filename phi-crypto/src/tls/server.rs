//! Servers.

use core::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use super::describe::{ClientCertificates, TlsDescription};
use super::roots::ClientVerifier;
use super::{Identity, Roots, TlsError, TlsPolicy, protocols};

/// A server's settings; made by [`TlsPolicy::server`].
#[must_use]
#[derive(Debug)]
pub struct TlsServerBuilder {
    policy: TlsPolicy,
    identities: Vec<Identity>,
    clients: Option<(Roots, ClientCertificates)>,
    protocols: Vec<Vec<u8>>,
}

/// A rustls configuration for servers, and its description.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    policy: TlsPolicy,
    identities: Vec<Identity>,
    clients: Option<(Roots, ClientCertificates)>,
}

impl TlsServerBuilder {
    pub(super) fn new(policy: TlsPolicy, identity: Identity) -> Self {
        Self { policy, identities: vec![identity], clients: None, protocols: Vec::new() }
    }

    /// A further certificate, for other names or of another kind of key. A client that names a server gets the first
    /// certificate that holds the name and whose kind of key it accepts; a name that none holds is refused. A client that
    /// names none, because it calls an IP address, gets the first certificate of all.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Talks only to clients with a certificate of these roots.
    ///
    /// Sessions are not resumed then: every connection presents its certificate, so that an expired or revoked one ends
    /// with the connection.
    pub fn require_client_certificates(mut self, roots: &Roots) -> Self {
        self.clients = Some((roots.clone(), ClientCertificates::Required));
        self
    }

    /// Asks clients for a certificate of these roots and also talks to those that have none; one that does not verify is
    /// refused. Whether a connection has one is for the application to look up. Sessions are not resumed.
    pub fn request_client_certificates(mut self, roots: &Roots) -> Self {
        self.clients = Some((roots.clone(), ClientCertificates::Requested));
        self
    }

    /// The application's protocols, the preferred one first, such as `h2` and `http/1.1`. A client that offers ALPN and
    /// none of them is refused.
    pub fn protocols<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.protocols = protocols.into_iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`TlsError::Protocol`], and [`TlsError::Configuration`] when rustls refuses it.
    pub fn build(self) -> Result<TlsServer, TlsError> {
        let Self { policy, identities, clients, protocols: names } = self;
        let verifier = match &clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some((roots, kind)) => Arc::new(ClientVerifier::new(roots.clone(), *kind == ClientCertificates::Required)),
        };
        let mut config = ServerConfig::builder_with_details(policy.provider(), policy.time())
            .with_protocol_versions(policy.protocol_versions())
            .map_err(TlsError::configuration)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(ByName(identities.clone())));
        config.alpn_protocols = protocols(names)?;
        config.require_ems = true;
        // Early data can be replayed.
        config.max_early_data_size = 0;
        if clients.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(TlsServer { config: Arc::new(config), policy, identities, clients })
    }
}

impl TlsServer {
    /// For `tokio_rustls::TlsAcceptor`, `axum-server`, `rustls::ServerConnection` and whatever else takes one.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What is in force at this moment, for the evidence of an audit.
    #[must_use]
    pub fn describe(&self) -> TlsDescription {
        let mut description = self.policy.describe();
        description.certificates = self.identities.iter().map(Identity::describe).collect();
        description.client_certificates =
            self.clients.as_ref().map_or(ClientCertificates::NotRequested, |(_, kind)| *kind);
        description.resumption = self.clients.is_none();
        if let Some((roots, _)) = &self.clients {
            description.set_roots(roots);
        }
        description
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("policy", &self.policy)
            .field("identities", &self.identities)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// Chooses the certificate by the name that the client asks for.
#[derive(Debug)]
struct ByName(Vec<Identity>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(ServerName::try_from).transpose().ok()?;
        let fits = |key: &Arc<CertifiedKey>| {
            let holds = name.as_ref().is_none_or(|name| {
                let parsed = key.cert.first().and_then(|own| ParsedCertificate::try_from(own).ok());
                parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
            });
            holds && key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        self.0.iter().map(Identity::certified).find(fits)
    }
}
