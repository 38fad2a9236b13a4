//! `encrypt`, `decrypt`, `rewrap` and `datakey`.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, bad_request, errors};
use super::batch::{Input, Item, Work, decode, integer, text};
use super::key::{Cipher, Refusal, TransitKey};
use crate::encoding::b64;
use crate::env::Env;
use crate::reply::Reply;

type Keys = BTreeMap<String, TransitKey>;
type Outcome = Result<Value, Refusal>;

const NO_KEY: &str = "encryption key not found";

pub(super) fn encrypt(
    keys: &mut Keys,
    name: &str,
    body: &Map<String, Value>,
    disable_upsert: bool,
    env: &Env,
) -> Reply {
    let work = match Work::read(body, Input::Plaintext) {
        Ok(work) => work,
        Err(message) => return bad_request(&message),
    };
    if !keys.contains_key(name) {
        // Encrypting with a key that does not exist creates it: derived if the request has a context.
        if disable_upsert {
            return bad_request(NO_KEY);
        }
        let kind = text(body, "type");
        let Some(cipher @ Cipher::Aead(_)) = Cipher::named(if kind.is_empty() { "aes256-gcm96" } else { &kind }) else {
            return bad_request(&format!("unknown key type {kind}"));
        };
        let Some(key) = TransitKey::new(env, name, cipher, work.has_context()) else { return no_randomness() };
        keys.insert(name.to_owned(), key);
    }
    let Some(key) = keys.get(name) else { return bad_request(NO_KEY) };
    finish(&work, body, true, env, |index, item| {
        let plaintext = decode(&item.plaintext).map_err(Refusal::User)?;
        let context = decode(&item.context).map_err(Refusal::User)?;
        let aad = associated_data(key, index, item)?;
        let (ciphertext, version) = key.encrypt(env, item.key_version, &context, &aad, &plaintext)?;
        Ok(json!({ "ciphertext": ciphertext, "key_version": version }))
    })
}

pub(super) fn decrypt(key: Option<&TransitKey>, body: &Map<String, Value>, env: &Env) -> Reply {
    let work = match Work::read(body, Input::Ciphertext) {
        Ok(work) => work,
        Err(message) => return bad_request(&message),
    };
    let Some(key) = key else { return bad_request(NO_KEY) };
    finish(&work, body, true, env, |index, item| {
        let context = decode(&item.context).map_err(Refusal::User)?;
        let aad = associated_data(key, index, item)?;
        Ok(json!({ "plaintext": b64(&key.decrypt(&context, &aad, &item.ciphertext)?) }))
    })
}

/// Rewrap knows no associated data: what was encrypted with some cannot be rewrapped.
pub(super) fn rewrap(key: Option<&TransitKey>, body: &Map<String, Value>, env: &Env) -> Reply {
    let work = match Work::read(body, Input::Ciphertext) {
        Ok(work) => work,
        Err(message) => return bad_request(&message),
    };
    let Some(key) = key else { return bad_request(NO_KEY) };
    finish(&work, body, false, env, |_, item| {
        let context = decode(&item.context).map_err(Refusal::User)?;
        let plaintext = key.decrypt(&context, &[], &item.ciphertext)?;
        let (ciphertext, version) = key.encrypt(env, item.key_version, &context, &[], &plaintext)?;
        Ok(json!({ "ciphertext": ciphertext, "key_version": version }))
    })
}

pub(super) fn datakey(key: Option<&TransitKey>, what: &str, body: &Map<String, Value>, env: &Env) -> Reply {
    if what != "plaintext" && what != "wrapped" {
        return bad_request("Invalid path, must be 'plaintext' or 'wrapped'");
    }
    let Ok(context) = decode(&text(body, "context")) else { return bad_request("failed to base64-decode context") };
    let Some(key) = key else { return bad_request(NO_KEY) };
    let len = match integer(body, "bits").unwrap_or(256) {
        128 => 16,
        256 => 32,
        512 => 64,
        _ => return bad_request("invalid bit length"),
    };
    let Some(fresh) = env.vec(len) else { return no_randomness() };
    let item = Item { associated_data: text(body, "associated_data"), ..Item::default() };
    let outcome = associated_data(key, 0, &item)
        .and_then(|aad| key.encrypt(env, integer(body, "key_version").unwrap_or_default(), &context, &aad, &fresh));
    match outcome {
        Err(refusal) => single_refusal(&refusal),
        Ok((ciphertext, version)) => {
            let mut data = json!({ "ciphertext": ciphertext, "key_version": version });
            if what == "plaintext"
                && let Some(data) = data.as_object_mut()
            {
                data.insert("plaintext".to_owned(), json!(b64(&fresh)));
            }
            answer::data(env, data, &[])
        }
    }
}

fn associated_data(key: &TransitKey, index: usize, item: &Item) -> Result<Vec<u8>, Refusal> {
    if item.associated_data.is_empty() {
        return Ok(Vec::new());
    }
    if !key.cipher.is_aead() {
        let name = key.cipher.name();
        return Err(Refusal::User(format!("'[{index}].associated_data' provided for non-AEAD cipher suite {name}")));
    }
    // The real service calls this one internal, so it answers 500.
    decode(&item.associated_data).map_err(|why| {
        Refusal::Internal(format!("unable to get associated_data/additional_data from factory[0]: {why}"))
    })
}

/// Does every item and answers: plainly for a single one, item by item for a batch. A batch of which some failed
/// is 400 for a user's error and 500 for an internal one, unless the request names another code for partial failure
/// (`coded`; rewrap has no codes and answers 200).
fn finish(
    work: &Work,
    body: &Map<String, Value>,
    coded: bool,
    env: &Env,
    mut act: impl FnMut(usize, &Item) -> Outcome,
) -> Reply {
    let outcomes: Vec<Outcome> = work.items.iter().enumerate().map(|(index, item)| act(index, item)).collect();
    if !work.is_batch {
        return match outcomes.into_iter().next() {
            Some(Ok(data)) => answer::data(env, data, &[]),
            Some(Err(refusal)) => single_refusal(&refusal),
            None => bad_request("missing batch input to process"),
        };
    }
    let succeeded = outcomes.iter().any(Result::is_ok);
    let user_error = outcomes.iter().any(|outcome| matches!(outcome, Err(Refusal::User(_))));
    let internal_error = outcomes.iter().any(|outcome| matches!(outcome, Err(Refusal::Internal(_))));
    let results: Vec<Value> = work.items.iter().zip(outcomes).map(|(item, outcome)| item.entry(outcome)).collect();
    let mut reply = answer::data(env, json!({ "batch_results": results }), &[]);
    if coded && (user_error || internal_error) {
        reply.status = if user_error { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
        if succeeded
            && let Some(code) = integer(body, "partial_failure_response_code")
            && let Some(code) = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok())
        {
            reply.status = code;
        }
    }
    reply
}

fn single_refusal(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::User(message) => bad_request(message),
        Refusal::Internal(message) => errors(StatusCode::INTERNAL_SERVER_ERROR, &[message]),
    }
}

fn no_randomness() -> Reply {
    errors(StatusCode::INTERNAL_SERVER_ERROR, &["no random bytes"])
}
