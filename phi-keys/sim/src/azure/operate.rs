//! `encrypt`, `decrypt`, `wrapkey` and `unwrapkey`, and the HSM's random bytes.

use aes_kw::{KeyInit, KwAes128, KwAes256, KwpAes128, KwpAes256};
use serde_json::{Map, Value, json};

use super::Answer;
use super::error::Failure;
use super::key::{Key, Material, Version, kid};
use super::route::What;
use crate::aead::{Aead, NONCE, TAG};
use crate::encoding::{b64url, from_b64url};
use crate::env::Env;

pub(super) fn operate(
    key: &Key,
    name: &str,
    version: Option<&str>,
    what: What,
    body: &Map<String, Value>,
    base: &str,
    env: &Env,
) -> Answer {
    let version = key.version(version).ok_or_else(|| Failure::not_found(name))?;
    permit(version, what, env.unix_seconds())?;
    let algorithm =
        body.get("alg").and_then(Value::as_str).ok_or_else(|| Failure::bad("Property 'alg' is required."))?;
    let input = bytes(body, "value")?.ok_or_else(|| Failure::bad("Property 'value' is required."))?;
    let outward = matches!(what, What::Encrypt | What::WrapKey);
    let mut result = json!({ "kid": kid(base, name, version) });
    let output = match (&version.material, algorithm) {
        (Material::Rsa(rsa), "RSA-OAEP-256") => if outward { rsa.wrap(&input) } else { rsa.unwrap(&input) }
            .ok_or_else(|| Failure::bad("The parameter is incorrect.\r\n"))?,
        (Material::Oct(oct), "A128GCM" | "A256GCM") if matches!(what, What::Encrypt | What::Decrypt) => {
            gcm(cipher(oct, algorithm)?, oct, what, &input, body, &mut result, env)?
        }
        (Material::Oct(oct), "A128KW" | "A256KW" | "CKM_AES_KEY_WRAP" | "CKM_AES_KEY_WRAP_PAD")
            if matches!(what, What::WrapKey | What::UnwrapKey) =>
        {
            key_wrap(oct, algorithm, outward, &input).ok_or_else(|| Failure::bad("The parameter is incorrect.\r\n"))?
        }
        (_, other) => {
            let message = format!(
                "Key and signing algorithm do not match: {} does not {} with {other}.",
                key.kind.kty(),
                what.as_str()
            );
            return Err(Failure::bad(&message));
        }
    };
    if let Some(result) = result.as_object_mut() {
        result.insert("value".to_owned(), json!(b64url(&output)));
    }
    Ok(result)
}

pub(super) fn random(body: &Map<String, Value>, env: &Env) -> Answer {
    let count = body.get("count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    let count =
        count.filter(|count| (1..=128).contains(count)).ok_or_else(|| Failure::bad("count must be 1 to 128."))?;
    Ok(json!({ "value": b64url(&env.vec(count).ok_or_else(Failure::internal)?) }))
}

/// Whether this version may do this now. Outside `nbf` and `exp`, what was protected can still be opened: the service
/// documents that decrypt and unwrap then go on working. A disabled version does nothing.
fn permit(version: &Version, what: What, now: i64) -> Result<(), Failure> {
    let operation = what.as_str();
    if !version.ops.iter().any(|op| op == operation) {
        let message = format!("Operation {operation} is not permitted on this key.");
        return Err(Failure::forbidden(&message, "KeyOperationForbidden"));
    }
    if !version.enabled {
        let message = format!("Operation {operation} is not allowed on a disabled key.");
        return Err(Failure::forbidden(&message, "KeyDisabled"));
    }
    if matches!(what, What::Encrypt | What::WrapKey) {
        if version.expires.is_some_and(|at| at <= now) {
            let message = format!("Operation {operation} is not allowed on an expired key.");
            return Err(Failure::forbidden(&message, "KeyExpired"));
        }
        if version.not_before.is_some_and(|at| at > now) {
            let message = format!("Operation {operation} is not allowed on a not yet valid key.");
            return Err(Failure::forbidden(&message, "KeyNotYetValid"));
        }
    }
    Ok(())
}

fn cipher(oct: &[u8], algorithm: &str) -> Result<Aead, Failure> {
    match (oct.len(), algorithm) {
        (16, "A128GCM") => Ok(Aead::Aes128Gcm),
        (32, "A256GCM") => Ok(Aead::Aes256Gcm),
        _ => Err(Failure::bad("The key size does not fit the algorithm.")),
    }
}

/// AES-GCM: the HSM draws the `iv` when encrypting and refuses one; decrypting needs `iv` and `tag`.
fn gcm(
    aead: Aead,
    key: &[u8],
    what: What,
    input: &[u8],
    body: &Map<String, Value>,
    result: &mut Value,
    env: &Env,
) -> Result<Vec<u8>, Failure> {
    let aad = bytes(body, "aad")?.unwrap_or_default();
    let iv = bytes(body, "iv")?;
    if what == What::Decrypt {
        let iv = iv.filter(|iv| iv.len() == NONCE).ok_or_else(|| Failure::bad("Property 'iv' must be 12 bytes."))?;
        let tag = bytes(body, "tag")?
            .filter(|tag| tag.len() == TAG)
            .ok_or_else(|| Failure::bad("Property 'tag' must be 16 bytes."))?;
        return aead
            .open(key, &aad, &[iv.as_slice(), input, &tag].concat())
            .ok_or_else(|| Failure::bad("The authentication tag does not match."));
    }
    if iv.is_some() {
        return Err(Failure::bad("Property 'iv' must not be given for AES-GCM encryption."));
    }
    let sealed = aead.seal(env, key, &aad, input).ok_or_else(Failure::internal)?;
    let (iv, rest) = sealed.split_at_checked(NONCE).ok_or_else(Failure::internal)?;
    let (ciphertext, tag) = rest.split_at_checked(input.len()).ok_or_else(Failure::internal)?;
    if let Some(result) = result.as_object_mut() {
        result.insert("iv".to_owned(), json!(b64url(iv)));
        result.insert("tag".to_owned(), json!(b64url(tag)));
        result.insert("aad".to_owned(), json!(b64url(&aad)));
    }
    Ok(ciphertext.to_vec())
}

/// RFC 3394, or RFC 5649 with padding; `None` for a wrong size or a failed integrity check.
fn key_wrap(key: &[u8], algorithm: &str, outward: bool, input: &[u8]) -> Option<Vec<u8>> {
    let fits = match algorithm {
        "A128KW" => key.len() == 16,
        "A256KW" => key.len() == 32,
        _ => true,
    };
    let padded = algorithm == "CKM_AES_KEY_WRAP_PAD";
    let mut room = vec![0; input.len() + 16];
    macro_rules! with {
        ($cipher:ty) => {{
            let cipher = <$cipher>::new_from_slice(key).ok()?;
            let done = if outward { cipher.wrap_key(input, &mut room) } else { cipher.unwrap_key(input, &mut room) };
            done.ok()?.to_vec()
        }};
    }
    match (fits, padded, key.len()) {
        (true, false, 16) => Some(with!(KwAes128)),
        (true, false, 32) => Some(with!(KwAes256)),
        (true, true, 16) => Some(with!(KwpAes128)),
        (true, true, 32) => Some(with!(KwpAes256)),
        _ => None,
    }
}

fn bytes(body: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(|text| from_b64url(text.trim_end_matches('=')))
            .map(Some)
            .ok_or_else(|| Failure::bad(&format!("Content of '{name}' is not base64url.\r\n"))),
    }
}
