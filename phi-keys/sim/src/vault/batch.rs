//! The fields of Transit requests, single and in batches.

use serde_json::{Map, Value, json};

use super::key::Refusal;
use crate::encoding::from_b64;

/// A string field; numbers count as their digits, as the framework of the real service coerces them.
pub(super) fn text(body: &Map<String, Value>, name: &str) -> String {
    match body.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// An integer field, as a number or as digits; `None` if it is absent.
pub(super) fn integer(body: &Map<String, Value>, name: &str) -> Option<i64> {
    match body.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A boolean field, as such or in words; `None` if it is absent.
pub(super) fn boolean(body: &Map<String, Value>, name: &str) -> Option<bool> {
    match body.get(name)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        _ => None,
    }
}

/// One piece of work of a request.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) plaintext: String,
    pub(super) ciphertext: String,
    pub(super) context: String,
    pub(super) associated_data: String,
    pub(super) key_version: i64,
    pub(super) reference: String,
}

/// What the batch's required field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Plaintext,
    Ciphertext,
}

/// The work a request asks for.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) items: Vec<Item>,
    pub(super) is_batch: bool,
}

impl Work {
    /// Reads a request.
    ///
    /// # Errors
    /// The message the service answers with status 400.
    pub(super) fn read(body: &Map<String, Value>, input: Input) -> Result<Self, String> {
        let Some(batch) = body.get("batch_input").filter(|batch| !batch.is_null()) else {
            let missing = match input {
                Input::Plaintext => !body.contains_key("plaintext"),
                Input::Ciphertext => text(body, "ciphertext").is_empty(),
            };
            if missing {
                return Err(input.missing());
            }
            return Ok(Self { items: vec![Item::read(body)], is_batch: false });
        };
        let batch = batch.as_array().ok_or("failed to parse batch input: source data must be an array or slice")?;
        if batch.is_empty() {
            return Err("missing batch input to process".to_owned());
        }
        let mut items = Vec::with_capacity(batch.len());
        for (index, entry) in batch.iter().enumerate() {
            let entry =
                entry.as_object().ok_or_else(|| format!("failed to parse batch input: [{index}] expected a map"))?;
            let field = match input {
                Input::Plaintext => "plaintext",
                Input::Ciphertext => "ciphertext",
            };
            if !entry.contains_key(field) {
                return Err(format!("failed to parse batch input: '[{index}].{field}' {}", input.missing()));
            }
            items.push(Item::read(entry));
        }
        let with_context = items.first().is_some_and(|item| !item.context.is_empty());
        if items.iter().any(|item| item.context.is_empty() == with_context) {
            return Err("context should be set either in all the request blocks or in none".to_owned());
        }
        Ok(Self { items, is_batch: true })
    }

    pub(super) fn has_context(&self) -> bool {
        self.items.first().is_some_and(|item| !item.context.is_empty())
    }
}

impl Input {
    fn missing(self) -> String {
        match self {
            Self::Plaintext => "missing plaintext to encrypt".to_owned(),
            Self::Ciphertext => "missing ciphertext to decrypt".to_owned(),
        }
    }
}

impl Item {
    fn read(fields: &Map<String, Value>) -> Self {
        Self {
            plaintext: text(fields, "plaintext"),
            ciphertext: text(fields, "ciphertext"),
            context: text(fields, "context"),
            associated_data: text(fields, "associated_data"),
            key_version: integer(fields, "key_version").unwrap_or_default(),
            reference: text(fields, "reference"),
        }
    }

    /// This item's entry in `batch_results`.
    pub(super) fn entry(&self, outcome: Result<Value, Refusal>) -> Value {
        let mut entry = outcome.unwrap_or_else(|refusal| json!({ "error": refusal.message() }));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("reference".to_owned(), json!(self.reference));
        }
        entry
    }
}

/// Standard base64.
///
/// # Errors
/// The message of the real service's decoder.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    from_b64(text).ok_or_else(|| "illegal base64 data at input byte 0".to_owned())
}
