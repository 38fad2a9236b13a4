//! Crypto keys and key rings: create, list, update.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Answer;
use super::key::{CryptoKey, Protection};
use super::name::Name;
use super::status::Status;
use crate::env::Env;

pub(super) fn create(
    keys: &mut BTreeMap<String, CryptoKey>,
    rings: &[String],
    name: &Name,
    query: &BTreeMap<String, String>,
    body: &Map<String, Value>,
    env: &Env,
) -> Answer {
    let ring = name.ring_name().ok_or_else(Status::no_route)?;
    if !rings.contains(&ring) {
        return Err(Status::not_found(&format!("KeyRing {ring} not found.")));
    }
    let id = valid_id(query, "cryptoKeyId")?;
    let full = format!("{ring}/cryptoKeys/{id}");
    if keys.contains_key(&full) {
        return Err(Status::exists(&format!("CryptoKey {full} already exists.")));
    }
    if !body.get("purpose").is_some_and(|purpose| purpose == "ENCRYPT_DECRYPT" || purpose == 1) {
        return Err(Status::invalid("Only the purpose ENCRYPT_DECRYPT is simulated."));
    }
    let level = body.get("versionTemplate").and_then(|template| template.get("protectionLevel"));
    let protection = match level {
        Some(level) if level == "HSM" || level == 2 => Protection::Hsm,
        _ => Protection::Software,
    };
    let mut key = CryptoKey::new(env, &full, protection).ok_or_else(Status::internal)?;
    if let Some(labels) = body.get("labels").and_then(Value::as_object) {
        key.labels.clone_from(labels);
    }
    let shown = key.shown();
    keys.insert(full, key);
    Ok(shown)
}

pub(super) fn update(key: &mut CryptoKey, query: &BTreeMap<String, String>, body: &Map<String, Value>) -> Answer {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    for field in query.get("updateMask").map(String::as_str).unwrap_or_default().split(',') {
        match field {
            "labels" => key.labels = body.get("labels").and_then(Value::as_object).cloned().unwrap_or_default(),
            "rotationPeriod" | "rotation_period" => key.rotation_period = text("rotationPeriod"),
            "nextRotationTime" | "next_rotation_time" => key.next_rotation = text("nextRotationTime"),
            other => return Err(Status::invalid(&format!("update_mask names '{other}', which cannot be updated."))),
        }
    }
    Ok(key.shown())
}

pub(super) fn list(keys: &BTreeMap<String, CryptoKey>, name: &Name) -> Answer {
    let ring = name.ring_name().ok_or_else(Status::no_route)?;
    let prefix = format!("{ring}/cryptoKeys/");
    let shown: Vec<Value> =
        keys.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, key)| key.shown()).collect();
    Ok(json!({ "totalSize": shown.len(), "cryptoKeys": shown }))
}

pub(super) fn ring(rings: &[String], name: &Name) -> Answer {
    let ring = name.ring_name().ok_or_else(Status::no_route)?;
    if rings.contains(&ring) {
        Ok(json!({ "name": ring }))
    } else {
        Err(Status::not_found(&format!("KeyRing {ring} not found.")))
    }
}

pub(super) fn create_ring(rings: &mut Vec<String>, name: &Name, query: &BTreeMap<String, String>) -> Answer {
    let full = format!("{}/keyRings/{}", name.location, valid_id(query, "keyRingId")?);
    if rings.contains(&full) {
        return Err(Status::exists(&format!("KeyRing {full} already exists.")));
    }
    rings.push(full.clone());
    Ok(json!({ "name": full }))
}

/// `[a-zA-Z0-9_-]{1,63}`.
fn valid_id<'a>(query: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, Status> {
    query
        .get(name)
        .map(String::as_str)
        .filter(|id| (1..=63).contains(&id.len()))
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'))
        .ok_or_else(|| Status::invalid(&format!("{name} must match [a-zA-Z0-9_-]{{1,63}}.")))
}
