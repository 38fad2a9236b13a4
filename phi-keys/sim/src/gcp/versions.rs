//! Crypto key versions: list, get, create, enable and disable, destroy, restore, make primary.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Answer;
use super::key::{CryptoKey, State, Version};
use super::name::Name;
use super::status::Status;
use crate::env::Env;

pub(super) fn get(key: &mut CryptoKey, name: &Name) -> Answer {
    Ok(find(key, name)?.shown())
}

pub(super) fn create(key: &mut CryptoKey, env: &Env) -> Answer {
    key.add_version(env).map(Version::shown).ok_or_else(Status::internal)
}

pub(super) fn set_primary(key: &mut CryptoKey, body: &Map<String, Value>) -> Answer {
    let id = body.get("cryptoKeyVersionId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = key.version(&id)?;
    if version.state != State::Enabled {
        return Err(Status::not_enabled(&version.name, version.state));
    }
    key.primary = id.parse().map_err(|_| Status::invalid("crypto_key_version_id is not a number"))?;
    Ok(key.shown())
}

/// Only `state` can be updated, and only between enabled and disabled.
pub(super) fn update(
    key: &mut CryptoKey,
    name: &Name,
    query: &BTreeMap<String, String>,
    body: &Map<String, Value>,
) -> Answer {
    if query.get("updateMask").map(String::as_str) != Some("state") {
        return Err(Status::invalid("update_mask must be 'state'."));
    }
    let wanted = match body.get("state") {
        Some(state) if state == "ENABLED" || state == 1 => State::Enabled,
        Some(state) if state == "DISABLED" || state == 2 => State::Disabled,
        _ => return Err(Status::invalid("CryptoKeyVersion.state can only be set to ENABLED or DISABLED.")),
    };
    let version = find(key, name)?;
    if !matches!(version.state, State::Enabled | State::Disabled) {
        return Err(wrong_state(version, "KEY_DESTROYED"));
    }
    version.state = wanted;
    Ok(version.shown())
}

pub(super) fn destroy(key: &mut CryptoKey, name: &Name, env: &Env) -> Answer {
    let version = find(key, name)?;
    if !matches!(version.state, State::Enabled | State::Disabled) {
        return Err(wrong_state(version, "KEY_DESTROYED"));
    }
    version.schedule_destruction(env);
    Ok(version.shown())
}

pub(super) fn restore(key: &mut CryptoKey, name: &Name) -> Answer {
    let version = find(key, name)?;
    if version.state != State::DestroyScheduled {
        return Err(wrong_state(version, "KEY_NOT_DESTROY_SCHEDULED"));
    }
    version.restore();
    Ok(version.shown())
}

pub(super) fn list(key: &CryptoKey, query: &BTreeMap<String, String>) -> Answer {
    let filter = query.get("filter").map(|filter| filter.replace([' ', '"'], "")).unwrap_or_default();
    let wanted = filter.strip_prefix("state=").or_else(|| filter.strip_prefix("state:"));
    if wanted.is_none() && !filter.is_empty() {
        return Err(Status::invalid("Only filters of the form state=STATE are simulated."));
    }
    let fitting: Vec<&Version> =
        key.versions.values().filter(|version| wanted.is_none_or(|state| state == version.state.as_str())).collect();
    let asked = query.get("pageSize").and_then(|size| size.parse().ok()).filter(|size| *size > 0);
    let size: usize = asked.unwrap_or(100).min(1_000);
    let from = match query.get("pageToken").filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token.parse::<usize>().map_err(|_| Status::invalid("Invalid page_token."))?,
    };
    let page: Vec<Value> = fitting.iter().skip(from).take(size).map(|version| version.shown()).collect();
    let mut answer = json!({ "cryptoKeyVersions": page, "totalSize": fitting.len() });
    let next = from.saturating_add(size);
    if let Some(answer) = answer.as_object_mut().filter(|_| fitting.len() > next) {
        answer.insert("nextPageToken".to_owned(), json!(next.to_string()));
    }
    Ok(answer)
}

fn find<'a>(key: &'a mut CryptoKey, name: &Name) -> Result<&'a mut Version, Status> {
    key.version(name.version.as_deref().unwrap_or_default())
}

fn wrong_state(version: &Version, violation: &str) -> Status {
    let message = format!("{} cannot be changed so, current state is: {}.", version.name, version.state.as_str());
    Status::precondition(&message, violation, &version.name)
}
