//! HashiCorp Vault and OpenBao: Transit, the token endpoints, two logins, and health.

mod answer;
mod auth;
mod batch;
mod key;
mod keys;
mod policy;
mod route;
mod sys;
mod tokens;
mod transit;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};

use self::answer::{errors, permission_denied};
use self::key::{Cipher, TransitKey};
use self::policy::Capability;
use self::route::Route;
use self::sys::Health;
use self::tokens::Tokens;
use crate::backend::{Backend, Operation};
use crate::call::Call;
use crate::control::FaultKind;
use crate::encoding::{b64, from_b64};
use crate::env::Env;
use crate::reply::Reply;

/// The one mount, in every namespace.
const MOUNT: &str = "transit";
const NAMESPACE: &str = "clinic";
const DERIVED_KEY: &str = "phi-derived";
const PLAIN_KEY: &str = "phi-aead";

#[derive(Debug)]
pub(crate) struct Vault {
    env: Env,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    health: Health,
    /// By namespace, then by key name.
    keys: BTreeMap<String, BTreeMap<String, TransitKey>>,
    tokens: Tokens,
    disable_upsert: bool,
}

impl Vault {
    pub(crate) fn new(env: Env) -> Option<(Self, Value)> {
        let mut keys = BTreeMap::new();
        for namespace in ["", NAMESPACE] {
            let mut held = BTreeMap::new();
            for (name, derived) in [(DERIVED_KEY, true), (PLAIN_KEY, false)] {
                held.insert(name.to_owned(), TransitKey::new(&env, name, Cipher::AES_256, derived)?);
            }
            keys.insert(namespace.to_owned(), held);
        }
        let (tokens, mut facts) = Tokens::seeded(&env);
        if let Some(facts) = facts.as_object_mut() {
            for (name, value) in
                [("mount", MOUNT), ("namespace", NAMESPACE), ("key", DERIVED_KEY), ("plain_key", PLAIN_KEY)]
            {
                facts.insert(name.to_owned(), json!(value));
            }
        }
        let state = State { health: Health::default(), keys, tokens, disable_upsert: false };
        Some((Self { env, state: Mutex::new(state) }, facts))
    }

    /// A panic elsewhere leaves at worst one key half changed, which the next test does not share.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Vault {
    fn operation(&self, call: &Call) -> Operation {
        let route = Route::of(call);
        match route.key() {
            Some(key) => Operation::on(route.name(), key),
            None => Operation::new(route.name()),
        }
    }

    fn answer(&self, call: &Call) -> Reply {
        let route = Route::of(call);
        let state = &mut *self.state();
        if let Some(reply) = sys::answer(&route, call, &state.health, &self.env) {
            return reply;
        }
        if state.health.sealed {
            return sealed();
        }
        let namespace = call.header("x-vault-namespace").unwrap_or_default().trim_matches('/').to_owned();
        if !state.keys.contains_key(&namespace) {
            return errors(StatusCode::NOT_FOUND, &[&format!("namespace not found: {namespace}")]);
        }
        let Some(body) = call.json() else {
            return errors(StatusCode::BAD_REQUEST, &["error parsing JSON"]);
        };
        if let Some(reply) = auth::login(&route, &body, &mut state.tokens, &namespace, &self.env) {
            return reply;
        }
        let Some(token) = state.tokens.accept(call.header("x-vault-token").or(call.bearer()), &namespace, &self.env)
        else {
            return permission_denied();
        };
        if let Some(reply) = auth::answer(&route, &body, &mut state.tokens, &token, &self.env) {
            return reply;
        }
        let State { keys, disable_upsert, .. } = state;
        let Some(keys) = keys.get_mut(&namespace) else { return permission_denied() };
        let needed = match &route {
            Route::Encrypt(name) if !keys.contains_key(*name) => Capability::Create,
            _ => Capability::Use,
        };
        if !token.may(&route, needed) {
            return permission_denied();
        }
        match route {
            Route::Encrypt(name) => transit::encrypt(keys, name, &body, *disable_upsert, &self.env),
            Route::Decrypt(name) => transit::decrypt(keys.get(name), &body, &self.env),
            Route::Rewrap(name) => transit::rewrap(keys.get(name), &body, &self.env),
            Route::Datakey(what, name) => transit::datakey(keys.get(name), what, &body, &self.env),
            Route::ConfigKeys => keys::configure_all(&call.method, &body, disable_upsert),
            _ => keys::answer(&route, &body, keys, &self.env)
                .unwrap_or_else(|| errors(StatusCode::NOT_FOUND, &["no handler for route"])),
        }
    }

    fn refuse(&self, _call: &Call, kind: FaultKind) -> Option<Reply> {
        Some(match kind {
            FaultKind::Throttle { retry_after } => {
                let reply = errors(StatusCode::TOO_MANY_REQUESTS, &["request path: rate limit quota exceeded"]);
                match retry_after {
                    Some(seconds) => reply.header(RETRY_AFTER, &seconds.to_string()),
                    None => reply,
                }
            }
            FaultKind::Internal => {
                errors(StatusCode::INTERNAL_SERVER_ERROR, &["1 error occurred:\n\t* internal error\n\n"])
            }
            FaultKind::Unavailable => errors(StatusCode::SERVICE_UNAVAILABLE, &["service unavailable"]),
            FaultKind::Sealed => sealed(),
            FaultKind::Forbidden | FaultKind::ExpiredToken => permission_denied(),
            FaultKind::NotFound => errors(StatusCode::NOT_FOUND, &[]),
            _ => return None,
        })
    }

    fn spoil(&self, kind: FaultKind, mut reply: Reply) -> Reply {
        let data = reply.body.as_mut().and_then(|body| body.get_mut("data"));
        for (name, value) in data.and_then(Value::as_object_mut).into_iter().flatten() {
            let Some(text) = value.as_str() else { continue };
            let spoiled = match (kind, name.as_str()) {
                (FaultKind::CorruptBytes, "plaintext") => flipped(text),
                (FaultKind::CorruptBytes, "ciphertext") => {
                    text.rsplit_once(':').and_then(|(prefix, bytes)| Some(format!("{prefix}:{}", flipped(bytes)?)))
                }
                (FaultKind::OtherPlaintext, "plaintext") => {
                    from_b64(text).and_then(|true_bytes| self.env.vec(true_bytes.len())).map(|other| b64(&other))
                }
                (FaultKind::OtherVersion, "ciphertext") => {
                    text.rsplit_once(':').map(|(_, bytes)| format!("vault:v999:{bytes}"))
                }
                _ => None,
            };
            if let Some(spoiled) = spoiled {
                *value = json!(spoiled);
            }
        }
        reply
    }

    fn change_version(&self, key: &str, version: &str, change: &str) -> Result<(), String> {
        let state = &mut *self.state();
        let version = version.parse().map_err(|_| "versions of Transit keys are numbers")?;
        let (namespace, key) = key.rsplit_once('/').unwrap_or(("", key));
        let key = state.keys.get_mut(namespace).and_then(|keys| keys.get_mut(key)).ok_or("no such key")?;
        key.change_version(version, change).map_err(str::to_owned)
    }

    fn switch(&self, name: &str, on: bool) -> Result<(), String> {
        let state = &mut *self.state();
        match name {
            "sealed" => state.health.sealed = on,
            "standby" => state.health.standby = on,
            "uninitialized" => state.health.initialized = !on,
            "disable_upsert" => state.disable_upsert = on,
            _ => return Err("switches of vault: sealed, standby, uninitialized, disable_upsert".to_owned()),
        }
        Ok(())
    }
}

fn sealed() -> Reply {
    errors(StatusCode::SERVICE_UNAVAILABLE, &["Vault is sealed"])
}

/// Standard base64 of the same bytes with one bit flipped.
fn flipped(text: &str) -> Option<String> {
    let mut bytes = from_b64(text)?;
    *bytes.last_mut()? ^= 1;
    Some(b64(&bytes))
}
