//! Google Cloud KMS, REST v1: symmetric `ENCRYPT_DECRYPT` keys and their versions.

mod crypt;
mod key;
mod keys;
mod name;
mod status;
mod versions;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::key::{CryptoKey, Protection, State as VersionState};
use self::name::Name;
use self::status::Status;
use crate::backend::{Backend, Operation};
use crate::call::Call;
use crate::control::FaultKind;
use crate::encoding::{b64, crc32c, from_b64};
use crate::env::Env;
use crate::reply::Reply;

const RING: &str = "projects/phi-sim/locations/us-east1/keyRings/phi";
const KEY: &str = "phi-kek";
const OTHER_KEY: &str = "phi-other";
const HSM_KEY: &str = "phi-hsm";

#[derive(Debug)]
pub(crate) struct Gcp {
    env: Env,
    token: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    require_token: bool,
    rings: Vec<String>,
    /// By full resource name.
    keys: BTreeMap<String, CryptoKey>,
}

type Answer = Result<Value, Status>;

impl Gcp {
    pub(crate) fn new(env: Env) -> Option<(Self, Value)> {
        let mut keys = BTreeMap::new();
        for (short, protection) in
            [(KEY, Protection::Software), (OTHER_KEY, Protection::Software), (HSM_KEY, Protection::Hsm)]
        {
            let name = format!("{RING}/cryptoKeys/{short}");
            keys.insert(name.clone(), CryptoKey::new(&env, &name, protection)?);
        }
        let token = format!("ya29.{}", env.id::<24>());
        let facts = json!({
            "token": token,
            "key_ring": RING,
            "key": format!("{RING}/cryptoKeys/{KEY}"),
            "other_key": format!("{RING}/cryptoKeys/{OTHER_KEY}"),
            "hsm_key": format!("{RING}/cryptoKeys/{HSM_KEY}"),
        });
        let state = State { require_token: false, rings: vec![RING.to_owned()], keys };
        Some((Self { env, token, state: Mutex::new(state) }, facts))
    }

    /// A panic elsewhere leaves at worst one key half changed, which the next test does not share.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, call: &Call) -> Answer {
        let state = &mut *self.state();
        if state.require_token && call.bearer() != Some(self.token.as_str()) {
            return Err(Status::unauthenticated());
        }
        let body = call.json().ok_or_else(|| Status::invalid("Invalid JSON payload received."))?;
        let name = Name::of(call).ok_or_else(Status::no_route)?;
        for key in state.keys.values_mut() {
            key.let_time_pass(&self.env);
        }
        match (operation_name(call, &name), &name) {
            ("encrypt", _) => crypt::encrypt(state.find(&name)?, &name, &body, &self.env),
            ("decrypt", _) => crypt::decrypt(state.find(&name)?, &body),
            ("random", _) => crypt::random(&body, &self.env),
            ("update_primary", _) => versions::set_primary(state.find(&name)?, &body),
            ("create_version", _) => versions::create(state.find(&name)?, &self.env),
            ("list_versions", _) => versions::list(state.find(&name)?, &call.query),
            ("get_version", _) => versions::get(state.find(&name)?, &name),
            ("update_version", _) => versions::update(state.find(&name)?, &name, &call.query, &body),
            ("destroy_version", _) => versions::destroy(state.find(&name)?, &name, &self.env),
            ("restore_version", _) => versions::restore(state.find(&name)?, &name),
            ("get_key", _) => Ok(state.find(&name)?.shown()),
            ("update_key", _) => keys::update(state.find(&name)?, &call.query, &body),
            ("list_keys", _) => keys::list(&state.keys, &name),
            ("create_key", _) => keys::create(&mut state.keys, &state.rings, &name, &call.query, &body, &self.env),
            ("get_ring", _) => keys::ring(&state.rings, &name),
            ("create_ring", _) => keys::create_ring(&mut state.rings, &name, &call.query),
            _ => Err(Status::no_route()),
        }
    }
}

impl State {
    fn find(&mut self, name: &Name) -> Result<&mut CryptoKey, Status> {
        let full = name.key_name().ok_or_else(Status::no_route)?;
        self.keys.get_mut(&full).ok_or_else(|| Status::not_found(&format!("CryptoKey {full} not found.")))
    }
}

/// The name for counters, faults and dispatch.
fn operation_name(call: &Call, name: &Name) -> &'static str {
    let has_version = name.version.is_some();
    match (&call.method, name.verb.as_deref(), name.collection.as_deref()) {
        (&Method::POST, Some("encrypt"), None) => "encrypt",
        (&Method::POST, Some("decrypt"), None) if !has_version => "decrypt",
        (&Method::POST, Some("generateRandomBytes"), None) => "random",
        (&Method::POST, Some("updatePrimaryVersion"), None) => "update_primary",
        (&Method::POST, Some("destroy"), None) if has_version => "destroy_version",
        (&Method::POST, Some("restore"), None) if has_version => "restore_version",
        (&Method::GET, None, Some("cryptoKeyVersions")) => "list_versions",
        (&Method::POST, None, Some("cryptoKeyVersions")) => "create_version",
        (&Method::GET, None, Some("cryptoKeys")) => "list_keys",
        (&Method::POST, None, Some("cryptoKeys")) => "create_key",
        (&Method::POST, None, Some("keyRings")) => "create_ring",
        (&Method::GET, None, None) if has_version => "get_version",
        (&Method::PATCH, None, None) if has_version => "update_version",
        (&Method::GET, None, None) if name.key.is_some() => "get_key",
        (&Method::PATCH, None, None) if name.key.is_some() => "update_key",
        (&Method::GET, None, None) => "get_ring",
        _ => "unknown",
    }
}

impl Backend for Gcp {
    fn operation(&self, call: &Call) -> Operation {
        match Name::of(call) {
            None => Operation::new("unknown"),
            Some(name) => {
                let operation = operation_name(call, &name);
                name.key.as_deref().map_or_else(|| Operation::new(operation), |key| Operation::on(operation, key))
            }
        }
    }

    fn answer(&self, call: &Call) -> Reply {
        match self.act(call) {
            Err(status) => status.into_reply(),
            Ok(mut body) => {
                if call.query.get("$alt").is_some_and(|alt| alt.contains("enum-encoding=int")) {
                    status::enums_as_numbers(&mut body);
                }
                Reply::ok(body)
            }
        }
    }

    fn refuse(&self, call: &Call, kind: FaultKind) -> Option<Reply> {
        let name = call.segments.join("/");
        let status = match kind {
            FaultKind::Throttle { retry_after } => return Some(Status::exhausted().into_reply_after(retry_after)),
            FaultKind::Internal => {
                Status::plain(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error encountered.")
            }
            FaultKind::Unavailable | FaultKind::Sealed => {
                Status::plain(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "The service is currently unavailable.")
            }
            FaultKind::Forbidden => Status::plain(
                StatusCode::FORBIDDEN,
                "PERMISSION_DENIED",
                &format!("Permission denied on resource '{name}' (or it may not exist)."),
            ),
            FaultKind::ExpiredToken => Status::unauthenticated(),
            FaultKind::NotFound => Status::not_found(&format!("{name} not found.")),
            _ => return None,
        };
        Some(status.into_reply())
    }

    fn spoil(&self, kind: FaultKind, mut reply: Reply) -> Reply {
        if let Some(body) = reply.body.as_mut().and_then(Value::as_object_mut) {
            match kind {
                FaultKind::CorruptCrc => spoil_checksums(body),
                FaultKind::Unverified => body.retain(|name, _| !name.starts_with("verified")),
                FaultKind::CorruptBytes => {
                    for name in ["plaintext", "ciphertext"] {
                        if let Some(mut bytes) = body.get(name).and_then(Value::as_str).and_then(from_b64) {
                            if let Some(last) = bytes.last_mut() {
                                *last ^= 1;
                            }
                            body.insert(name.to_owned(), json!(b64(&bytes)));
                        }
                    }
                }
                FaultKind::OtherPlaintext => {
                    let len = body.get("plaintext").and_then(Value::as_str).and_then(from_b64).map(|bytes| bytes.len());
                    if let Some(other) = len.and_then(|len| self.env.vec(len)) {
                        body.insert("plaintext".to_owned(), json!(b64(&other)));
                        body.insert("plaintextCrc32c".to_owned(), json!(crc32c(&other).to_string()));
                    }
                }
                FaultKind::OtherVersion => {
                    if let Some((key, _)) =
                        body.get("name").and_then(Value::as_str).and_then(|name| name.rsplit_once('/'))
                    {
                        let other = format!("{key}/999");
                        body.insert("name".to_owned(), json!(other));
                    }
                }
                _ => {}
            }
        }
        reply
    }

    fn change_version(&self, key: &str, version: &str, change: &str) -> Result<(), String> {
        let state = &mut *self.state();
        let (_, key) = state
            .keys
            .iter_mut()
            .find(|(name, _)| name.as_str() == key || name.rsplit('/').next() == Some(key))
            .ok_or("no such key")?;
        let number = version.parse().map_err(|_| "versions of GCP keys are numbers")?;
        let version = key.versions.get_mut(&number).ok_or("no such version")?;
        match change {
            "disable" => version.state = VersionState::Disabled,
            "enable" => version.state = VersionState::Enabled,
            "destroy" => version.destroy_now(&self.env),
            _ => return Err("change is disable, enable or destroy".to_owned()),
        }
        Ok(())
    }

    fn switch(&self, name: &str, on: bool) -> Result<(), String> {
        if name != "require_token" {
            return Err("switches of gcp: require_token".to_owned());
        }
        self.state().require_token = on;
        Ok(())
    }
}

fn spoil_checksums(body: &mut Map<String, Value>) {
    for (name, value) in body {
        if let Some(sum) = value.as_str().filter(|_| name.ends_with("Crc32c")).and_then(|text| text.parse::<u32>().ok())
        {
            *value = json!((sum ^ 1).to_string());
        }
    }
}
