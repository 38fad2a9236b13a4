//! Key administration: create, read, list, rotate, configure, trim, delete.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{self, bad_request, errors};
use super::batch::{boolean, integer, text};
use super::key::{Cipher, TransitKey};
use super::route::Route;
use crate::env::Env;
use crate::reply::Reply;

type Keys = BTreeMap<String, TransitKey>;

/// `None` for a route that is none of these.
pub(super) fn answer(route: &Route<'_>, body: &Map<String, Value>, keys: &mut Keys, env: &Env) -> Option<Reply> {
    Some(match *route {
        Route::ListKeys if keys.is_empty() => errors(StatusCode::NOT_FOUND, &[]),
        Route::ListKeys => answer::data(env, json!({ "keys": keys.keys().collect::<Vec<_>>() }), &[]),
        Route::ReadKey(name) => match keys.get(name) {
            Some(key) => answer::data(env, shown(key), &[]),
            None => errors(StatusCode::NOT_FOUND, &[]),
        },
        Route::CreateKey(name) => create(name, body, keys, env),
        Route::RotateKey(name) => match keys.get_mut(name) {
            None => bad_request("key not found"),
            Some(key) => match key.rotate(env) {
                Some(()) => answer::data(env, shown(key), &[]),
                None => errors(StatusCode::INTERNAL_SERVER_ERROR, &["no random bytes"]),
            },
        },
        Route::ConfigKey(name) => match keys.get_mut(name) {
            None => bad_request(&format!("no existing key named {name} could be found")),
            Some(key) => match configure(key, body) {
                Ok(warnings) => answer::data(env, shown(key), &warnings),
                Err(message) => bad_request(&message),
            },
        },
        Route::TrimKey(name) => match keys.get_mut(name) {
            None => bad_request("invalid key name"),
            Some(key) => match trim(key, body) {
                Ok(()) => answer::data(env, shown(key), &[]),
                Err(message) => bad_request(message),
            },
        },
        Route::DeleteKey(name) => delete(name, keys),
        _ => return None,
    })
}

/// `config/keys`: whether encrypting may create keys.
pub(super) fn configure_all(method: &Method, body: &Map<String, Value>, disable_upsert: &mut bool) -> Reply {
    if method != Method::GET {
        *disable_upsert = boolean(body, "disable_upsert").unwrap_or_default();
    }
    Reply::ok(json!({ "data": { "disable_upsert": *disable_upsert } }))
}

fn create(name: &str, body: &Map<String, Value>, keys: &mut Keys, env: &Env) -> Reply {
    if let Some(key) = keys.get(name) {
        return answer::data(env, shown(key), &[format!("key {name} already existed")]);
    }
    let kind = text(body, "type");
    let Some(cipher) = Cipher::named(if kind.is_empty() { "aes256-gcm96" } else { &kind }) else {
        return bad_request(&format!("unknown key type {kind}"));
    };
    let derived = boolean(body, "derived").unwrap_or_default();
    if boolean(body, "convergent_encryption").unwrap_or_default() {
        return bad_request("convergent encryption is not simulated");
    }
    if derived && !cipher.is_aead() {
        return bad_request(&format!(
            "key derivation and convergent encryption not supported for keys of type {}",
            cipher.name()
        ));
    }
    let Some(mut key) = TransitKey::new(env, name, cipher, derived) else {
        return errors(StatusCode::INTERNAL_SERVER_ERROR, &["no random bytes"]);
    };
    key.exportable = boolean(body, "exportable").unwrap_or_default();
    key.allow_plaintext_backup = boolean(body, "allow_plaintext_backup").unwrap_or_default();
    let reply = answer::data(env, shown(&key), &[]);
    keys.insert(name.to_owned(), key);
    reply
}

fn delete(name: &str, keys: &mut Keys) -> Reply {
    match keys.get(name).map(|key| key.deletion_allowed) {
        None => bad_request(&format!("error deleting policy {name}: could not delete key; not found")),
        Some(false) => bad_request(&format!("error deleting policy {name}: deletion is not allowed for this key")),
        Some(true) => {
            keys.remove(name);
            Reply::empty(StatusCode::NO_CONTENT)
        }
    }
}

/// Changes the key's configuration, wholly or not at all.
fn configure(key: &mut TransitKey, body: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    let (mut min_decryption, mut min_encryption) = (key.min_decryption, key.min_encryption);
    if let Some(asked) = integer(body, "min_decryption_version") {
        if asked == 0 {
            warnings.push("since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1".to_owned());
        }
        min_decryption = minimum(asked, "decryption", key.latest)?.max(1);
    }
    if let Some(asked) = integer(body, "min_encryption_version") {
        min_encryption = minimum(asked, "encryption", key.latest)?;
    }
    if min_encryption > 0 && min_encryption < min_decryption {
        return Err(format!(
            "cannot set min encryption/decryption values; min encryption version of {min_encryption} must be greater \
             than or equal to min decryption version of {min_decryption}"
        ));
    }
    if key.min_available > min_encryption && key.min_available > 0 {
        return Err("min encryption version should not be less than min available version".to_owned());
    }
    if key.min_available > min_decryption {
        return Err("min decryption version should not be less then min available version".to_owned());
    }
    let auto_rotate_period = integer(body, "auto_rotate_period").unwrap_or(key.auto_rotate_period);
    if auto_rotate_period != 0 && auto_rotate_period < 3_600 {
        return Err("auto rotate period must be 0 to disable or at least an hour".to_owned());
    }
    key.min_decryption = min_decryption;
    key.min_encryption = min_encryption;
    key.auto_rotate_period = auto_rotate_period;
    key.deletion_allowed = boolean(body, "deletion_allowed").unwrap_or(key.deletion_allowed);
    // Once set, these cannot be unset.
    key.exportable |= boolean(body, "exportable").unwrap_or_default();
    key.allow_plaintext_backup |= boolean(body, "allow_plaintext_backup").unwrap_or_default();
    Ok(warnings)
}

fn minimum(asked: i64, what: &str, latest: u32) -> Result<u32, String> {
    if asked < 0 {
        return Err(format!("min {what} version cannot be negative"));
    }
    match u32::try_from(asked) {
        Ok(number) if number <= latest => Ok(number),
        _ => Err(format!("cannot set min {what} version of {asked}, latest key version is {latest}")),
    }
}

fn trim(key: &mut TransitKey, body: &Map<String, Value>) -> Result<(), &'static str> {
    let asked = integer(body, "min_available_version").ok_or("missing min_available_version")?;
    let floor = u32::try_from(asked).map_err(|_| "minimum available version cannot be negative")?;
    if floor < key.min_available {
        return Err("minimum available version cannot be decremented");
    }
    if key.min_encryption == 0 {
        return Err("minimum available version cannot be set when minimum encryption version is not set");
    }
    if floor > key.min_encryption {
        return Err("minimum available version cannot be greater than minmum encryption version");
    }
    if floor > key.min_decryption {
        return Err("minimum available version cannot be greater than minimum decryption version");
    }
    if floor == 0 {
        return Err("minimum available version should be positive");
    }
    key.trim(floor);
    Ok(())
}

fn shown(key: &TransitKey) -> Value {
    // Versions that may no longer decrypt are archived, and not shown.
    let versions: Map<String, Value> = key
        .versions
        .range(key.min_decryption..)
        .map(|(number, version)| (number.to_string(), version.shown(key.cipher)))
        .collect();
    let mut shown = json!({
        "name": key.name,
        "type": key.cipher.name(),
        "derived": key.derived,
        "deletion_allowed": key.deletion_allowed,
        "min_available_version": key.min_available,
        "min_decryption_version": key.min_decryption,
        "min_encryption_version": key.min_encryption,
        "latest_version": key.latest,
        "exportable": key.exportable,
        "allow_plaintext_backup": key.allow_plaintext_backup,
        "supports_encryption": true,
        "supports_decryption": true,
        "supports_signing": !key.cipher.is_aead(),
        "supports_derivation": key.cipher.is_aead(),
        "auto_rotate_period": key.auto_rotate_period,
        "imported_key": false,
        "keys": versions,
    });
    if key.derived
        && let Some(shown) = shown.as_object_mut()
    {
        shown.insert("kdf".to_owned(), json!("hkdf_sha256"));
        shown.insert("convergent_encryption".to_owned(), json!(false));
    }
    shown
}
