//! `:encrypt`, `:decrypt` and `:generateRandomBytes`, with checksums both ways.

use serde_json::{Map, Value, json};

use super::Answer;
use super::key::{CryptoKey, Protection};
use super::name::Name;
use super::status::Status;
use crate::encoding::{b64, crc32c, from_proto_b64};
use crate::env::Env;

/// Of plaintext and of additional data, each, for software keys.
const SOFTWARE_LIMIT: usize = 64 * 1_024;
/// Of both together, for HSM keys.
const HSM_LIMIT: usize = 8 * 1_024;

pub(super) fn encrypt(key: &mut CryptoKey, name: &Name, body: &Map<String, Value>, env: &Env) -> Answer {
    let plaintext = bytes(body, "plaintext")?;
    let aad = bytes(body, "additionalAuthenticatedData")?;
    let within = match key.protection {
        Protection::Software => plaintext.len() <= SOFTWARE_LIMIT && aad.len() <= SOFTWARE_LIMIT,
        Protection::Hsm => plaintext.len() + aad.len() <= HSM_LIMIT,
    };
    if !within {
        return Err(Status::invalid("The plaintext or additional_authenticated_data is too large."));
    }
    let plaintext_verified = verify(body, "plaintextCrc32c", "plaintext", &plaintext)?;
    let aad_verified = verify(body, "additionalAuthenticatedDataCrc32c", "additional_authenticated_data", &aad)?;
    let version = match &name.version {
        Some(id) => key.version(id)?,
        None => {
            let message = format!("{} has no primary version.", key.name);
            let subject = key.name.clone();
            let primary = key.primary;
            key.versions.get_mut(&primary).ok_or_else(|| Status::precondition(&message, "KEY_DESTROYED", &subject))?
        }
    };
    let ciphertext = version.encrypt(env, &aad, &plaintext)?;
    let mut answer = json!({
        "name": version.name,
        "ciphertext": b64(&ciphertext),
        "ciphertextCrc32c": crc32c(&ciphertext).to_string(),
        "protectionLevel": version.protection.as_str(),
    });
    // As everywhere in proto3 JSON, `false` is not written.
    let verified =
        [("verifiedPlaintextCrc32c", plaintext_verified), ("verifiedAdditionalAuthenticatedDataCrc32c", aad_verified)];
    for (name, _) in verified.into_iter().filter(|(_, verified)| *verified) {
        if let Some(answer) = answer.as_object_mut() {
            answer.insert(name.to_owned(), json!(true));
        }
    }
    Ok(answer)
}

pub(super) fn decrypt(key: &CryptoKey, body: &Map<String, Value>) -> Answer {
    let ciphertext = bytes(body, "ciphertext")?;
    let aad = bytes(body, "additionalAuthenticatedData")?;
    verify(body, "ciphertextCrc32c", "ciphertext", &ciphertext)?;
    verify(body, "additionalAuthenticatedDataCrc32c", "additional_authenticated_data", &aad)?;
    let (plaintext, used_primary) = key.decrypt(&aad, &ciphertext)?;
    let mut answer = json!({
        "plaintextCrc32c": crc32c(&plaintext).to_string(),
        "protectionLevel": key.protection.as_str(),
    });
    if let Some(answer) = answer.as_object_mut() {
        if !plaintext.is_empty() {
            answer.insert("plaintext".to_owned(), json!(b64(&plaintext)));
        }
        if used_primary {
            answer.insert("usedPrimary".to_owned(), json!(true));
        }
    }
    Ok(answer)
}

pub(super) fn random(body: &Map<String, Value>, env: &Env) -> Answer {
    let wanted = body.get("lengthBytes").and_then(Value::as_u64).and_then(|len| usize::try_from(len).ok());
    let len = wanted
        .filter(|len| (8..=1_024).contains(len))
        .ok_or_else(|| Status::invalid("length_bytes must be between 8 and 1024."))?;
    let is_hsm = body.get("protectionLevel").is_some_and(|level| level == "HSM" || level == 2);
    if !is_hsm {
        return Err(Status::invalid("protection_level must be HSM."));
    }
    let data = env.vec(len).ok_or_else(Status::internal)?;
    Ok(json!({ "data": b64(&data), "dataCrc32c": crc32c(&data).to_string() }))
}

fn bytes(body: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Status> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(value) => value.as_str().and_then(from_proto_b64).ok_or_else(|| {
            Status::invalid(&format!("Invalid value at '{name}' (TYPE_BYTES), Base64 decoding failed for {value}"))
        }),
    }
}

/// Checks the checksum the client sent, if it sent one, and says whether it did. An int64 is text in proto3 JSON,
/// but numbers are taken too.
fn verify(body: &Map<String, Value>, name: &str, field: &str, bytes: &[u8]) -> Result<bool, Status> {
    let sent = match body.get(name) {
        None | Some(Value::Null) => return Ok(false),
        Some(Value::String(text)) => text.parse::<i64>().ok(),
        Some(number) => number.as_i64(),
    };
    if sent == Some(i64::from(crc32c(bytes))) {
        return Ok(true);
    }
    Err(Status::invalid(&format!("The checksum in field {field}_crc32c did not match the data in field {field}.")))
}
