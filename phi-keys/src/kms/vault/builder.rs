//! Putting a [`VaultKms`] together.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Clock, SystemClock};
use reqwest::redirect::Policy;
use rustify::clients::reqwest::Client as HttpClient;
use vaultrs::api::EndpointMiddleware;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};

use super::auth::VaultAuth;
use super::error::VaultError;
use super::session::Session;
use super::{VaultKms, name};
use crate::kms::provider::ensure_crypto_provider;

/// Collects what a [`VaultKms`] needs. Nothing is read from the environment.
#[must_use = "`build` makes the KMS"]
pub struct VaultBuilder {
    key: String,
    address: String,
    namespace: Option<String>,
    mount: String,
    kek_id: Option<String>,
    ca_files: Vec<String>,
    auth: Option<VaultAuth>,
    client: Option<VaultClient>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl VaultBuilder {
    pub(super) fn new(key: String) -> Self {
        Self {
            key,
            address: "https://127.0.0.1:8200".to_owned(),
            namespace: None,
            mount: "transit".to_owned(),
            kek_id: None,
            ca_files: Vec::new(),
            auth: None,
            client: None,
            timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The server, such as `https://vault.clinic.example:8200`; this machine unless set.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// The namespace of Vault Enterprise or OpenBao; none unless set.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The mount of the Transit engine; `transit` unless set.
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// The KEK's id, written into every wrapped key. Unless set it is `vault:` and the server's host and port, namespace,
    /// mount and key: set it to the old id when the server gets another address.
    pub fn kek_id(mut self, kek_id: impl Into<String>) -> Self {
        self.kek_id = Some(kek_id.into());
        self
    }

    /// A PEM file with certificates of authorities to trust besides those of the operating system.
    pub fn ca_file(mut self, path: impl Into<String>) -> Self {
        self.ca_files.push(path.into());
        self
    }

    /// How to sign in. With a [`client`](Self::client) of one's own it may be left out: then its token is used.
    pub fn auth(mut self, auth: VaultAuth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// A client of one's own, with its TLS, proxy, namespace and token; [`address`](Self::address),
    /// [`namespace`](Self::namespace) and [`ca_file`](Self::ca_file) are then not used.
    ///
    /// As `vaultrs` makes it, it follows redirects and sends token and carrier to wherever they lead, also without TLS, and
    /// takes a proxy from the environment. The client that this builder makes itself does neither.
    pub fn client(mut self, client: VaultClient) -> Self {
        self.client = Some(client);
        self
    }

    /// How long one request may take, at least 1 ms; 10 s unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whose time decides when the token is renewed; that of the operating system unless set.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the KMS. Sends nothing yet.
    ///
    /// If no rustls provider is set for the process, *ring* becomes it, since the client library panics without one. A
    /// program that chooses another does so before this call, or gives a [`client`](Self::client) of its own.
    ///
    /// # Errors
    /// [`VaultError::Config`] naming what cannot work, [`VaultError::Client`] when a certificate file cannot be used.
    pub fn build(self) -> Result<VaultKms, VaultError> {
        if !name::is_key(&self.key) {
            return Err(VaultError::Config(
                "the name of a Transit key has letters, digits, `_`, and inside `-` or `.`",
            ));
        }
        if !name::is_path(&self.mount) {
            return Err(VaultError::Config("the mount of the Transit engine is not a path such as `transit`"));
        }
        if self.timeout < Duration::from_millis(1) {
            return Err(VaultError::Config("the timeout for Vault is shorter than 1 ms"));
        }
        let (client, auth) = match self.client {
            Some(client) => (client, self.auth.unwrap_or_else(VaultAuth::as_given)),
            None => {
                let auth = self.auth.ok_or(VaultError::Config("give the builder a Vault login or a token"))?;
                (own_client(&self.address, self.namespace, self.ca_files, self.timeout)?, auth)
            }
        };
        let address = &client.settings.address;
        // It becomes part of a name that is stored and logged.
        if !address.username().is_empty() || address.password().is_some() {
            return Err(VaultError::Config(ADDRESS));
        }
        let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = address.path().trim_end_matches('/');
        let place = format!("{}{port}{path}", address.host_str().unwrap_or_default());
        let kek_id = self.kek_id.unwrap_or_else(|| {
            let namespace = client.middle.namespace.as_deref().unwrap_or_default().trim_matches('/');
            let slash = if namespace.is_empty() { "" } else { "/" };
            format!("vault:{place}/{namespace}{slash}{}/{}", self.mount, self.key)
        });
        if kek_id.is_empty() || kek_id.len() > usize::from(u16::MAX) {
            return Err(VaultError::Config("the KEK's id has 1 to 65,535 bytes"));
        }
        let session = Session::new(client, auth, self.clock, self.timeout)?;
        Ok(VaultKms::assemble(session, kek_id, self.mount, self.key))
    }
}

fn own_client(
    address: &str,
    namespace: Option<String>,
    ca_files: Vec<String>,
    timeout: Duration,
) -> Result<VaultClient, VaultError> {
    // The client library panics over an address that it cannot read.
    let uri: http::Uri = address.parse().map_err(|_| VaultError::Config(ADDRESS))?;
    let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && matches!(uri.scheme_str(), Some("http" | "https"))
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    if !is_plain {
        return Err(VaultError::Config(ADDRESS));
    }
    ensure_crypto_provider();
    // A redirect would take the token and the carrier along, to another host and out of TLS.
    let mut http = reqwest::Client::builder().tls_backend_rustls().timeout(timeout).redirect(Policy::none()).no_proxy();
    if uri.scheme_str() == Some("http") {
        // Otherwise the certificates of the machine would be read for nothing.
        http = http.tls_certs_only(Vec::new());
    }
    for path in &ca_files {
        let pem = std::fs::read(path).map_err(|_| VaultError::Client)?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| VaultError::Client)?;
        http = http.tls_certs_merge(certificates);
    }
    let http = HttpClient::new(address, http.build().map_err(|_| VaultError::Client)?);
    let middle =
        EndpointMiddleware { token: String::new(), version: "v1".to_owned(), wrap: None, namespace: namespace.clone() };
    // Everything is named, so that nothing of the environment decides: not VAULT_TOKEN, nor VAULT_SKIP_VERIFY.
    let settings = VaultClientSettingsBuilder::default()
        .address(address)
        .namespace(namespace)
        .ca_certs(ca_files)
        .identity(None)
        .token("")
        .verify(true)
        .timeout(Some(timeout))
        .build()
        .map_err(|_| VaultError::Config(ADDRESS))?;
    Ok(VaultClient { http, middle, settings })
}

const ADDRESS: &str = "the address of Vault is `https://` or `http://`, a host and perhaps a port, and nothing else";

impl fmt::Debug for VaultBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultBuilder")
            .field("key", &self.key)
            .field("mount", &self.mount)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
