//! The bodies of requests and answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::error::VaultError;
use crate::kms::{Carrier, KekState, WrapContext};

/// What most answers are wrapped in.
#[derive(Deserialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

#[derive(Serialize)]
pub(super) struct Encrypt<'a> {
    pub(super) plaintext: &'a str,
    pub(super) context: &'a str,
}

#[derive(Serialize)]
pub(super) struct Decrypt<'a> {
    pub(super) ciphertext: &'a str,
    pub(super) context: String,
}

#[derive(Serialize)]
pub(super) struct Batch<'a> {
    pub(super) batch_input: Vec<Decrypt<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Encrypted {
    pub(super) ciphertext: String,
    /// Left out by older servers.
    pub(super) key_version: Option<u64>,
}

/// Borrowed from the answer, which is wiped.
#[derive(Deserialize)]
pub(super) struct Decrypted<'a> {
    #[serde(borrow)]
    plaintext: Cow<'a, str>,
}

impl Decrypted<'_> {
    /// The carrier; anything but 32 bytes is not one.
    pub(super) fn carrier(&self) -> Result<Carrier, VaultError> {
        let mut bytes = Zeroizing::new([0; 32]);
        // One byte more than fits is an error of the decoder, one less a shorter slice.
        match Base64::decode(self.plaintext.as_bytes(), &mut *bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Carrier::from_bytes(bytes)),
            _ => Err(VaultError::Malformed),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct BatchResults<'a> {
    #[serde(borrow)]
    pub(super) batch_results: Vec<BatchResult<'a>>,
}

#[derive(Deserialize)]
pub(super) struct BatchResult<'a> {
    #[serde(borrow, default)]
    pub(super) error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    plaintext: Option<Cow<'a, str>>,
}

impl BatchResult<'_> {
    pub(super) fn carrier(self) -> Result<Carrier, VaultError> {
        match (self.error.filter(|error| !error.is_empty()), self.plaintext) {
            (Some(error), _) => Err(super::error::by_message(&error)),
            (None, Some(plaintext)) => Decrypted { plaintext }.carrier(),
            (None, None) => Err(VaultError::Malformed),
        }
    }
}

/// `GET keys/:name`.
#[derive(Deserialize)]
pub(super) struct Key {
    pub(super) derived: bool,
    pub(super) latest_version: u64,
    pub(super) min_decryption_version: u64,
    #[serde(default)]
    pub(super) min_encryption_version: u64,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Older versions were trimmed away.
    #[serde(default)]
    pub(super) min_available_version: u64,
    /// When each version was made, in Unix seconds for symmetric keys; disabled versions are not listed.
    #[serde(default)]
    pub(super) keys: BTreeMap<String, Value>,
}

impl Key {
    /// The oldest version that was not trimmed away.
    pub(super) fn oldest(&self) -> u64 {
        self.min_available_version.max(1)
    }

    pub(super) fn state_of(&self, version: u64) -> KekState {
        if !(self.oldest()..=self.latest_version).contains(&version) {
            KekState::Destroyed
        } else if version < self.min_decryption_version {
            KekState::Disabled
        } else if self.keys.contains_key(&version.to_string()) {
            KekState::Enabled
        } else {
            // What is enabled is listed: the server was restored from before it was made.
            KekState::Destroyed
        }
    }
}

/// The answer to a login or a renewal.
#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) auth: Auth,
}

#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) client_token: String,
    /// Seconds; 0 for a token that never expires.
    pub(super) lease_duration: u64,
    pub(super) renewable: bool,
}

/// `lookup-self`.
#[derive(Deserialize)]
pub(super) struct Token {
    /// Seconds left; 0 for a token that never expires.
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

/// `sys/health`.
#[derive(Deserialize)]
pub(super) struct Health {
    pub(super) initialized: bool,
    pub(super) sealed: bool,
    pub(super) standby: bool,
    #[serde(default)]
    pub(super) performance_standby: bool,
}

/// The context as Transit takes it: the digest, and nothing that names a tenant.
pub(super) fn context(context: &WrapContext) -> String {
    Base64::encode_string(context.digest())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body as a server might send it, whole, cut off or with another type in a place.
    fn body() -> impl Strategy<Value = String> {
        let text = prop_oneof![
            Just("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
            Just("AAEC".to_owned()),
            "[A-Za-z0-9+/=]{0,60}",
            "[ -!#-\\[\\]-~]{0,20}",
        ];
        let value = prop_oneof![
            4 => text.prop_map(|text| format!("\"{text}\"")),
            1 => Just("null".to_owned()),
            1 => any::<i64>().prop_map(|number| number.to_string()),
            1 => Just("{}".to_owned()),
        ];
        let key = prop_oneof![4 => Just("plaintext"), 2 => Just("error"), 1 => Just("ciphertext"), 1 => Just("more")];
        let fields = proptest::collection::vec((key, value), 0..4).prop_map(|fields| {
            let fields = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect::<Vec<_>>();
            format!("{{{}}}", fields.join(","))
        });
        (fields, 0..200_usize).prop_map(|(body, end)| body.chars().take(end).collect())
    }

    proptest! {
        #[test]
        fn a_carrier_is_thirty_two_bytes_or_an_error(body in body()) {
            if let Ok(answer) = serde_json::from_str::<Decrypted<'_>>(&body)
                && let Ok(carrier) = answer.carrier()
            {
                let text = Base64::encode_string(carrier.expose());
                prop_assert!(body.contains(&text), "one carrier has one spelling");
            }
            if let Ok(answer) = serde_json::from_str::<BatchResult<'_>>(&body) {
                let failed = answer.error.as_ref().is_some_and(|error| !error.is_empty());
                prop_assert!(answer.carrier().is_err() || !failed, "an item that failed has no carrier");
            }
        }
    }

    #[test]
    fn a_plaintext_of_any_other_length_or_spelling_is_refused() {
        let carrier = |text: &str| Decrypted { plaintext: text.into() }.carrier().map(|carrier| carrier.expose()[31]);
        assert_eq!(carrier("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), Ok(31));
        for wrong in [
            "",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        ] {
            assert_eq!(carrier(wrong), Err(VaultError::Malformed), "{wrong:?}");
        }
    }
}
