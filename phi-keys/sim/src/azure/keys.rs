//! Key administration: create, get, list, update, rotate, delete, recover.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Answer;
use super::error::Failure;
use super::key::{Key, Kind, kid};
use crate::env::Env;

type Keys = BTreeMap<String, Key>;

/// 90 days in seconds: how long a deleted key can be recovered.
const RECOVERABLE: i64 = 90 * 24 * 3_600;
/// The largest page, and the usual one.
const PAGE: usize = 25;

/// Creates a key, or a new version of one that exists.
pub(super) fn create(
    keys: &mut Keys,
    deleted: &Keys,
    name: &str,
    body: &Map<String, Value>,
    hsm: bool,
    base: &str,
    env: &Env,
) -> Answer {
    if deleted.contains_key(name) {
        return Err(Failure::deleted(name));
    }
    let kind = kind(body, hsm)?;
    if !keys.contains_key(name) {
        let key = Key::new(env, kind).ok_or_else(Failure::internal)?;
        keys.insert(name.to_owned(), key);
    } else if let Some(key) = keys.get_mut(name) {
        key.kind = kind;
        key.add_version(env).ok_or_else(Failure::internal)?;
    }
    let key = keys.get_mut(name).ok_or_else(Failure::internal)?;
    if let Some(version) = key.versions.last_mut() {
        version.take(body, env.unix_seconds());
    }
    shown(key, name, None, base)
}

fn kind(body: &Map<String, Value>, hsm: bool) -> Result<Kind, Failure> {
    let kty = body.get("kty").and_then(Value::as_str).unwrap_or_default();
    let bits = body.get("key_size").and_then(Value::as_u64).and_then(|bits| usize::try_from(bits).ok());
    match (kty, bits) {
        ("RSA", None | Some(2_048 | 3_072 | 4_096)) if !hsm => {
            Ok(Kind::Rsa { bits: bits.unwrap_or(2_048), hsm: false })
        }
        ("RSA-HSM", None | Some(2_048 | 3_072 | 4_096)) => Ok(Kind::Rsa { bits: bits.unwrap_or(2_048), hsm: true }),
        ("oct-HSM", None | Some(128 | 256)) if hsm => Ok(Kind::Oct { bits: bits.unwrap_or(256) }),
        ("RSA" | "RSA-HSM" | "oct-HSM", _) => {
            Err(Failure::bad(&format!("The key type {kty} is not supported here, or not with this key_size.")))
        }
        ("", _) => Err(Failure::bad("Property 'kty' is required.")),
        _ => Err(Failure::bad(&format!("The key type {kty} is not simulated."))),
    }
}

pub(super) fn rotate(keys: &mut Keys, name: &str, base: &str, env: &Env) -> Answer {
    let key = keys.get_mut(name).ok_or_else(|| Failure::not_found(name))?;
    key.add_version(env).ok_or_else(Failure::internal)?;
    shown(key, name, None, base)
}

/// A disabled key can be read; only operations with it are refused.
pub(super) fn get(keys: &Keys, name: &str, version: Option<&str>, base: &str) -> Answer {
    shown(keys.get(name).ok_or_else(|| Failure::not_found(name))?, name, version, base)
}

pub(super) fn update(
    keys: &mut Keys,
    name: &str,
    version: Option<&str>,
    body: &Map<String, Value>,
    base: &str,
    env: &Env,
) -> Answer {
    let key = keys.get_mut(name).ok_or_else(|| Failure::not_found(name))?;
    let found = match version {
        None => key.versions.last_mut(),
        Some(id) => key.version_mut(id),
    };
    found.ok_or_else(|| Failure::not_found(name))?.take(body, env.unix_seconds());
    shown(key, name, version, base)
}

/// One page of versions; `$skiptoken` is the index of the next one.
pub(super) fn versions(keys: &Keys, name: &str, query: &BTreeMap<String, String>, base: &str) -> Answer {
    let key = keys.get(name).ok_or_else(|| Failure::not_found(name))?;
    let size: usize = query.get("maxresults").and_then(|size| size.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let from: usize = query.get("$skiptoken").and_then(|token| token.parse().ok()).unwrap_or_default();
    let items: Vec<Value> = key
        .versions
        .iter()
        .skip(from)
        .take(size)
        .map(|version| json!({ "kid": kid(base, name, version), "attributes": key.attributes(version) }))
        .collect();
    let next = Some(from.saturating_add(size)).filter(|next| *next < key.versions.len()).map(|next| {
        let api = query.get("api-version").map(String::as_str).unwrap_or_default();
        format!("{base}/keys/{name}/versions?api-version={api}&$skiptoken={next}&maxresults={size}")
    });
    Ok(json!({ "value": items, "nextLink": next }))
}

pub(super) fn list(keys: &Keys, base: &str) -> Value {
    let items: Vec<Value> = keys
        .iter()
        .filter_map(|(name, key)| {
            let latest = key.version(None)?;
            Some(json!({ "kid": format!("{base}/keys/{name}"), "attributes": key.attributes(latest) }))
        })
        .collect();
    json!({ "value": items, "nextLink": null })
}

pub(super) fn delete(keys: &mut Keys, deleted: &mut Keys, name: &str, base: &str, env: &Env) -> Answer {
    let mut key = keys.remove(name).ok_or_else(|| Failure::not_found(name))?;
    key.deleted_at = Some(env.unix_seconds());
    deleted.insert(name.to_owned(), key);
    get_deleted(deleted, name, base, env)
}

pub(super) fn get_deleted(deleted: &Keys, name: &str, base: &str, env: &Env) -> Answer {
    let key = deleted.get(name).ok_or_else(|| Failure::not_found(name))?;
    let mut bundle = shown(key, name, None, base)?;
    let at = key.deleted_at.unwrap_or_else(|| env.unix_seconds());
    if let Some(bundle) = bundle.as_object_mut() {
        bundle.insert("recoveryId".to_owned(), json!(format!("{base}/deletedkeys/{name}")));
        bundle.insert("deletedDate".to_owned(), json!(at));
        bundle.insert("scheduledPurgeDate".to_owned(), json!(at + RECOVERABLE));
    }
    Ok(bundle)
}

pub(super) fn recover(keys: &mut Keys, deleted: &mut Keys, name: &str, base: &str) -> Answer {
    let mut key = deleted.remove(name).ok_or_else(|| Failure::not_found(name))?;
    key.deleted_at = None;
    let bundle = shown(&key, name, None, base);
    keys.insert(name.to_owned(), key);
    bundle
}

fn shown(key: &Key, name: &str, version: Option<&str>, base: &str) -> Answer {
    let version = key.version(version).ok_or_else(|| Failure::not_found(name))?;
    Ok(key.bundle(name, version, base))
}
