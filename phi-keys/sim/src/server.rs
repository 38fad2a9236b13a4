//! A simulator on a loopback port.

use core::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use phi_types::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::backend::Backend;
use crate::control::Control;
use crate::env::Env;
use crate::{azure, gate, gcp, tls, vault};

/// Which service is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// HashiCorp Vault or OpenBao, with a Transit mount.
    Vault,
    /// Google Cloud KMS, REST v1.
    Gcp,
    /// Azure Key Vault: RSA keys.
    Azure,
    /// Azure Managed HSM: RSA-HSM and oct-HSM keys.
    AzureHsm,
}

impl Service {
    /// The word the command line takes, and the facts name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::AzureHsm => "azure-hsm",
        }
    }

    /// The service of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Vault, Self::Gcp, Self::Azure, Self::AzureHsm].into_iter().find(|service| service.as_str() == word)
    }
}

/// A running simulator. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Simulator {
    facts: Value,
    control: Control,
    accepting: JoinHandle<()>,
    /// Kept so that the file lives as long as the simulator.
    authority: Option<NamedTempFile>,
}

impl Simulator {
    /// Starts a simulator on `127.0.0.1:port` (0: any free port), inside the current tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be had, or the operating system has no randomness or no room for the certificate file.
    pub async fn start(service: Service, port: u16) -> io::Result<Self> {
        Self::start_at(service, port, Arc::new(SystemClock::new())).await
    }

    /// As [`start`](Self::start), with the caller's clock.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_at(service: Service, port: u16, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let env = Env::new(clock);
        let no_randomness = || io::Error::other("the operating system gave no random bytes");
        let (backend, mut facts): (Arc<dyn Backend>, Value) = match service {
            Service::Vault => {
                let (vault, facts) = vault::Vault::new(env.clone()).ok_or_else(no_randomness)?;
                (Arc::new(vault), facts)
            }
            Service::Gcp => {
                let (gcp, facts) = gcp::Gcp::new(env.clone()).ok_or_else(no_randomness)?;
                (Arc::new(gcp), facts)
            }
            Service::Azure | Service::AzureHsm => {
                let hsm = service == Service::AzureHsm;
                let (azure, facts) = azure::Azure::new(env.clone(), hsm, address).ok_or_else(no_randomness)?;
                (Arc::new(azure), facts)
            }
        };
        let (tls, authority) = if matches!(service, Service::Azure | Service::AzureHsm) {
            let (pem, acceptor) = tls::loopback()?;
            let file = NamedTempFile::with_prefix("kms-sim-ca-")?;
            std::fs::write(file.path(), pem)?;
            (Some(acceptor), Some(file))
        } else {
            (None, None)
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("service".to_owned(), json!(service.as_str()));
            facts.insert("url".to_owned(), json!(format!("{scheme}://{address}")));
            if let Some(file) = &authority {
                facts.insert("ca_file".to_owned(), json!(file.path()));
            }
        }
        let control = Control::new(env, Arc::clone(&backend));
        let router = gate::router(control.clone(), backend, facts.clone());
        let accepting = tokio::spawn(accept(listener, tls, router));
        Ok(Self { facts, control, accepting, authority })
    }

    /// Where it listens: `http://127.0.0.1:port`, for Azure `https://…`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.fact("url").unwrap_or_default()
    }

    /// One of the facts a client needs, such as `root_token`; the README lists them per service.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name)?.as_str()
    }

    /// All facts, as the binary prints them.
    #[must_use]
    pub const fn facts(&self) -> &Value {
        &self.facts
    }

    /// The certificate authority to trust, in PEM; `None` where the simulator speaks plain http.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn authority_pem(&self) -> io::Result<Option<String>> {
        self.authority.as_ref().map(|file| std::fs::read_to_string(file.path())).transpose()
    }

    /// Faults, counters, time, versions.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Runs until the task is aborted, which only dropping does.
    pub async fn wait(mut self) {
        // An aborted or panicked accept loop ends the wait just the same.
        let _ended = (&mut self.accepting).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router) {
    // Owned by this task, so that aborting it closes every connection too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                if !is_local(peer) {
                    continue;
                }
                // Small answers wait 40 ms for an acknowledgement otherwise.
                let _best_effort = stream.set_nodelay(true);
                let (tls, router) = (tls.clone(), router.clone());
                connections.spawn(async move {
                    match tls {
                        None => converse(stream, router).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, router).await;
                            }
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

const fn is_local(peer: SocketAddr) -> bool {
    peer.ip().is_loopback()
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let answered: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            match answered {
                Ok(response) if response.extensions().get::<gate::Dropped>().is_none() => Ok(response),
                Ok(_) => Err(io::Error::other("dropped on order")),
                Err(never) => match never {},
            }
        }
    });
    // A client that goes away, or an ordered drop, ends the conversation; nobody is left to be told.
    let _ended = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}
