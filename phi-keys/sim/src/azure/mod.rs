//! Azure Key Vault and Managed HSM: keys, their versions, and operations with them.

mod error;
mod key;
mod keys;
mod operate;
mod route;
mod token;
mod version;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Map, Value, json};

use self::error::Failure;
use self::key::{Key, Kind};
use self::route::Route;
use self::token::Tokens;
use crate::backend::{Backend, Operation};
use crate::call::Call;
use crate::control::FaultKind;
use crate::encoding::{b64url, from_b64url};
use crate::env::Env;
use crate::reply::Reply;

const RSA_KEY: &str = "phi-kek";
const OCT_KEY: &str = "phi-oct";

#[derive(Debug)]
pub(crate) struct Azure {
    env: Env,
    /// A Managed HSM holds only keys that never leave it, and symmetric ones among them.
    hsm: bool,
    address: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: BTreeMap<String, Key>,
    deleted: BTreeMap<String, Key>,
    tokens: Tokens,
}

type Answer = Result<Value, Failure>;

impl Azure {
    pub(crate) fn new(env: Env, hsm: bool, address: SocketAddr) -> Option<(Self, Value)> {
        let mut keys = BTreeMap::new();
        let rsa = Kind::Rsa { bits: 2_048, hsm };
        keys.insert(RSA_KEY.to_owned(), Key::new(&env, rsa)?);
        if hsm {
            keys.insert(OCT_KEY.to_owned(), Key::new(&env, Kind::Oct { bits: 256 })?);
        }
        let (tokens, mut facts) = Tokens::seeded(&env, hsm);
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("key".to_owned(), json!(RSA_KEY));
            if hsm {
                facts.insert("oct_key".to_owned(), json!(OCT_KEY));
            }
        }
        let state = State { keys, deleted: BTreeMap::new(), tokens };
        Some((Self { env, hsm, address, state: Mutex::new(state) }, facts))
    }

    /// A panic elsewhere leaves at worst one key half changed, which the next test does not share.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base of every identifier: the name the client called it by.
    fn base(&self, call: &Call) -> String {
        format!("https://{}", call.header("host").map_or_else(|| self.address.to_string(), str::to_owned))
    }

    fn act(&self, route: Route<'_>, call: &Call, state: &mut State) -> Answer {
        let base = self.base(call);
        let body = call.json().ok_or_else(|| Failure::bad("The request body is not valid JSON."))?;
        version::check(call, route)?;
        let State { keys, deleted, .. } = state;
        match route {
            Route::Operate { name, version, what } => {
                let key = keys.get(name).ok_or_else(|| Failure::not_found(name))?;
                operate::operate(key, name, version, what, &body, &base, &self.env)
            }
            Route::Random if self.hsm => operate::random(&body, &self.env),
            Route::Create(name) => keys::create(keys, deleted, name, &body, self.hsm, &base, &self.env),
            Route::Rotate(name) => keys::rotate(keys, name, &base, &self.env),
            Route::Get { name, version } => keys::get(keys, name, version, &base),
            Route::Update { name, version } => keys::update(keys, name, version, &body, &base, &self.env),
            Route::Versions(name) => keys::versions(keys, name, &call.query, &base),
            Route::List => Ok(keys::list(keys, &base)),
            Route::Delete(name) => keys::delete(keys, deleted, name, &base, &self.env),
            Route::GetDeleted(name) => keys::get_deleted(deleted, name, &base, &self.env),
            Route::Recover(name) => keys::recover(keys, deleted, name, &base),
            Route::Purge(_) | Route::Token(_) | Route::Metadata(_) | Route::Random | Route::Unknown => {
                Err(Failure::no_route())
            }
        }
    }
}

impl Backend for Azure {
    fn operation(&self, call: &Call) -> Operation {
        let route = Route::of(call);
        route.key().map_or_else(|| Operation::new(route.name()), |key| Operation::on(route.name(), key))
    }

    fn answer(&self, call: &Call) -> Reply {
        let route = Route::of(call);
        let state = &mut *self.state();
        match route {
            Route::Token(tenant) => return state.tokens.grant(tenant, &call.form(), &self.env),
            Route::Metadata(tenant) => return token::metadata(&self.base(call), tenant),
            _ => {}
        }
        if let Err(refusal) = state.tokens.check(call, &self.base(call), &self.env) {
            return refusal;
        }
        if let Route::Purge(name) = route {
            return match state.deleted.remove(name) {
                Some(_) => Reply::empty(StatusCode::NO_CONTENT),
                None => Failure::not_found(name).into_reply(),
            };
        }
        self.act(route, call, state).map_or_else(Failure::into_reply, Reply::ok)
    }

    fn refuse(&self, call: &Call, kind: FaultKind) -> Option<Reply> {
        let failure = match kind {
            FaultKind::Throttle { retry_after } => {
                let reply = Failure::throttled().into_reply();
                return Some(match retry_after {
                    Some(seconds) => reply.header(RETRY_AFTER, &seconds.to_string()),
                    None => reply,
                });
            }
            FaultKind::Internal => {
                Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "An internal error occurred.")
            }
            FaultKind::Unavailable | FaultKind::Sealed => {
                Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "The service is unavailable.")
            }
            FaultKind::Forbidden => Failure::forbidden(
                "The user, group or application 'appid=sim' does not have the permission on key vault 'sim'.",
                "AccessDenied",
            ),
            FaultKind::ExpiredToken => return Some(self.state().tokens.challenge(&self.base(call), true)),
            FaultKind::NotFound => Failure::not_found(Route::of(call).key().unwrap_or_default()),
            _ => return None,
        };
        Some(failure.into_reply())
    }

    fn spoil(&self, kind: FaultKind, mut reply: Reply) -> Reply {
        if let Some(body) = reply.body.as_mut().and_then(Value::as_object_mut) {
            spoil(body, kind, &self.env);
        }
        reply
    }

    fn change_version(&self, key: &str, version: &str, change: &str) -> Result<(), String> {
        let state = &mut *self.state();
        let now = self.env.unix_seconds();
        let version = state.keys.get_mut(key).ok_or("no such key")?.version_mut(version).ok_or("no such version")?;
        match change {
            "disable" => version.set_enabled(false, now),
            "enable" => version.set_enabled(true, now),
            _ => return Err("change is disable or enable: Azure destroys whole keys only".to_owned()),
        }
        Ok(())
    }

    fn switch(&self, _name: &str, _on: bool) -> Result<(), String> {
        Err("azure has no switches".to_owned())
    }
}

fn spoil(body: &mut Map<String, Value>, kind: FaultKind, env: &Env) {
    let value = body.get("value").and_then(Value::as_str).and_then(from_b64url);
    match (kind, value) {
        (FaultKind::CorruptBytes, Some(mut bytes)) => {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            body.insert("value".to_owned(), json!(b64url(&bytes)));
        }
        (FaultKind::OtherPlaintext, Some(bytes)) => {
            if let Some(other) = env.vec(bytes.len()) {
                body.insert("value".to_owned(), json!(b64url(&other)));
            }
        }
        (FaultKind::OtherVersion, _) => {
            if let Some((key, _)) = body.get("kid").and_then(Value::as_str).and_then(|kid| kid.rsplit_once('/')) {
                let other = format!("{key}/{}", env.id::<16>());
                body.insert("kid".to_owned(), json!(other));
            }
        }
        _ => {}
    }
}
