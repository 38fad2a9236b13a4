//! The token: obtained, renewed and replaced, one task at a time.

use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use phi_types::Clock;
use rustify::clients::reqwest::Client as HttpClient;
use serde::Serialize;
use tokio::sync::Mutex;
use vaultrs::client::VaultClient;
use zeroize::Zeroizing;

use super::auth::VaultAuth;
use super::call::{Answer, Call};
use super::error::VaultError;
use super::lease::Lease;
use super::message::{Data, Granted, Token};
use super::name;

/// A token younger than this is not replaced because it was denied something: its policy is what denies.
const FRESH: Duration = Duration::from_secs(10);

/// A client with its token, replaced whole.
pub(super) struct Grant {
    client: VaultClient,
    lease: Lease,
    /// When this process signed in for it.
    since: Option<Duration>,
}

impl Grant {
    /// The same connections with another token and lease.
    fn with(&self, token: Option<&str>, lease: Lease, since: Option<Duration>) -> Self {
        let VaultClient { http, middle, settings } = &self.client;
        let mut client = VaultClient {
            http: HttpClient::new(&http.base, http.http.clone()),
            middle: middle.clone(),
            settings: settings.clone(),
        };
        if let Some(token) = token {
            vaultrs::client::Client::set_token(&mut client, token);
        }
        Self { client, lease, since }
    }
}

/// Signs in, keeps the token alive, and sends requests with it.
pub(super) struct Session {
    auth: VaultAuth,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    current: RwLock<Arc<Grant>>,
    flight: Mutex<()>,
}

impl Session {
    pub(super) fn new(
        mut client: VaultClient,
        auth: VaultAuth,
        clock: Arc<dyn Clock>,
        timeout: Duration,
    ) -> Result<Self, VaultError> {
        auth.check()?;
        if let Some(token) = auth.first_token() {
            vaultrs::client::Client::set_token(&mut client, token);
        }
        let lease = if auth.can_sign_in() { Lease::None } else { Lease::Unknown };
        // The middleware panics over a token or namespace that is no header value.
        if lease == Lease::Unknown && !name::is_token(&client.middle.token) {
            return Err(VaultError::Config("the client for Vault has no token, and the builder no login"));
        }
        if client.middle.namespace.as_deref().is_some_and(|namespace| !name::is_path(namespace.trim_matches('/'))) {
            return Err(VaultError::Config("the Vault namespace is not a path such as `team/clinic`"));
        }
        let grant = Grant { client, lease, since: None };
        Ok(Self { auth, clock, timeout, current: RwLock::new(Arc::new(grant)), flight: Mutex::new(()) })
    }

    pub(super) const fn auth(&self) -> &VaultAuth {
        &self.auth
    }

    /// Sends a request with a token that is alive as far as is known; signs in again once if it turns out not to be.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, VaultError> {
        let grant = self.grant().await?;
        let answer = self.send_as(&grant, call).await?;
        if !answer.is_denied() {
            return Ok(answer);
        }
        match self.sign_in_again(&grant).await? {
            Some(grant) => self.send_as(&grant, call).await,
            None => Ok(answer),
        }
    }

    pub(super) async fn post(&self, path: String, body: &(impl Serialize + Sync)) -> Result<Answer, VaultError> {
        let call = Call::post(path, body)?;
        self.send(&call).await?.succeeded()
    }

    /// Sends a request of the server itself, for which no token or namespace is needed.
    pub(super) async fn send_bare(&self, call: &Call) -> Result<Answer, VaultError> {
        let grant = self.current();
        let mut middle = grant.client.middle.clone();
        middle.token.clear();
        middle.namespace = None;
        call.send(&grant.client.http, &middle, self.timeout).await
    }

    /// Renews the token if that is due, and says when it will be due next; `None` for never.
    pub(super) async fn keep_alive(&self) -> Result<Option<Duration>, VaultError> {
        let grant = self.grant().await?;
        Ok(grant.lease.due_in(self.clock.monotonic()))
    }

    /// Goes on with another token.
    pub(super) fn set_token(&self, token: &str) -> Result<(), VaultError> {
        if !name::is_token(token) {
            return Err(VaultError::Config("a Vault token is printable ASCII without spaces: is it trimmed?"));
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.with(Some(token), Lease::Unknown, None));
        Ok(())
    }

    async fn send_as(&self, grant: &Grant, call: &Call) -> Result<Answer, VaultError> {
        call.send(&grant.client.http, &grant.client.middle, self.timeout).await
    }

    async fn grant(&self) -> Result<Arc<Grant>, VaultError> {
        let current = self.current();
        if !current.lease.is_due(self.clock.monotonic()) {
            return Ok(current);
        }
        let _flight = match self.flight.try_lock() {
            Ok(flight) => flight,
            // Somebody sees to it, and until then the token does.
            Err(_) if current.lease.is_alive(self.clock.monotonic()) => return Ok(current),
            Err(_) => self.flight.lock().await,
        };
        // Whoever flew before may have done it.
        let current = self.current();
        let now = self.clock.monotonic();
        match current.lease {
            lease if !lease.is_due(now) => Ok(current),
            Lease::None | Lease::Endless => self.sign_in(&current, now).await,
            Lease::Unknown => self.look_up(&current, now).await,
            Lease::Until { ends, .. } if now >= ends && self.auth.can_sign_in() => self.sign_in(&current, now).await,
            // Whoever gave it, such as an agent, may have renewed it.
            Lease::Until { ends, .. } if now >= ends => self.look_up(&current, now).await,
            Lease::Until { full, renewable, .. } => {
                let renewed =
                    if renewable { self.renew(&current, full, now).await } else { Err(VaultError::TokenExpired) };
                match renewed {
                    Ok(grant) => Ok(grant),
                    Err(_) if self.auth.can_sign_in() => match self.sign_in(&current, now).await {
                        Ok(grant) => Ok(grant),
                        Err(_) => Ok(self.postpone(&current, now)),
                    },
                    // The token that there is stays good until it ends.
                    Err(_) => Ok(self.postpone(&current, now)),
                }
            }
        }
    }

    async fn sign_in(&self, current: &Arc<Grant>, now: Duration) -> Result<Arc<Grant>, VaultError> {
        let answer = self.send_login(current, &self.auth.login()?).await?;
        let Granted { auth } = answer.read()?;
        let token = Zeroizing::new(auth.client_token);
        if !name::is_token(&token) {
            return Err(VaultError::Malformed);
        }
        let lease = Lease::granted(now, auth.lease_duration, auth.renewable);
        Ok(self.replace(current, current.with(Some(&token), lease, Some(now))))
    }

    /// Without the token that there is: a dead one would be refused before the credentials are looked at.
    async fn send_login(&self, grant: &Grant, call: &Call) -> Result<Answer, VaultError> {
        let mut middle = grant.client.middle.clone();
        middle.token.clear();
        let answer = call.send(&grant.client.http, &middle, self.timeout).await?;
        if answer.is_denied() || answer.status == 400 { Err(VaultError::LoginRefused) } else { answer.succeeded() }
    }

    async fn look_up(&self, current: &Arc<Grant>, now: Duration) -> Result<Arc<Grant>, VaultError> {
        let answer = self.send_as(current, &Call::get("auth/token/lookup-self".to_owned())).await?;
        let lease = if answer.is_denied() {
            if matches!(current.lease, Lease::Until { .. }) {
                return Err(VaultError::TokenExpired);
            }
            // It is not allowed to ask, or no longer alive: the call itself will tell.
            Lease::Endless
        } else {
            let answer = answer.succeeded()?;
            let Data { data: Token { ttl, renewable } } = answer.read()?;
            Lease::granted(now, ttl, renewable)
        };
        Ok(self.replace(current, current.with(None, lease, None)))
    }

    async fn renew(&self, current: &Arc<Grant>, full: Duration, now: Duration) -> Result<Arc<Grant>, VaultError> {
        let call = Call::post("auth/token/renew-self".to_owned(), &serde_json::json!({}))?;
        let answer = self.send_as(current, &call).await?.succeeded()?;
        let Granted { auth } = answer.read()?;
        let nears_its_maximum = auth.lease_duration != 0 && Duration::from_secs(auth.lease_duration) < full / 2;
        if nears_its_maximum && self.auth.can_sign_in() {
            return Err(VaultError::TokenExpired);
        }
        let lease = Lease::granted(now, auth.lease_duration, auth.renewable);
        Ok(self.replace(current, current.with(None, lease, current.since)))
    }

    /// After a denial: another token if there is one or can be had, `None` if that would not help.
    async fn sign_in_again(&self, denied: &Arc<Grant>) -> Result<Option<Arc<Grant>>, VaultError> {
        let _flight = self.flight.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, denied) {
            return Ok(Some(current));
        }
        let now = self.clock.monotonic();
        let is_fresh = current.since.is_some_and(|since| now.saturating_sub(since) < FRESH);
        if is_fresh || !self.auth.can_sign_in() {
            return Ok(None);
        }
        self.sign_in(&current, now).await.map(Some)
    }

    fn postpone(&self, current: &Arc<Grant>, now: Duration) -> Arc<Grant> {
        self.replace(current, current.with(None, current.lease.postponed(now), current.since))
    }

    /// Puts `grant` in the place of `old`, unless the caller has set another token meanwhile, which then wins.
    fn replace(&self, old: &Arc<Grant>, grant: Grant) -> Arc<Grant> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, old) {
            *current = Arc::new(grant);
        }
        Arc::clone(&current)
    }

    fn current(&self) -> Arc<Grant> {
        // It is replaced whole, so a panic elsewhere cannot leave half of it.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}
