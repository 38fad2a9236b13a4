//! The ways a key service fails.

use serde::{Deserialize, Serialize};

use crate::backend::Operation;

/// What goes wrong. Each service dresses it as its own clients know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// 429 with `Retry-After`, where given.
    Throttle {
        /// Seconds for `Retry-After`; without it the header is absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    /// 500 of the service.
    Internal,
    /// 503 of the service.
    Unavailable,
    /// Vault: 503 "Vault is sealed". The others: as [`Unavailable`](Self::Unavailable).
    Sealed,
    /// 403: the caller may not do this.
    Forbidden,
    /// The caller's token is not accepted: 403 of Vault, 401 of GCP, 401 with a new challenge of Azure.
    ExpiredToken,
    /// The key is not found.
    NotFound,
    /// The answer comes late, and is then what it would have been.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// The connection is closed before anything is done, without an answer.
    Drop,
    /// The operation is done, but its answer is lost: the connection is closed instead.
    LostAnswer,
    /// 200 with a body that is not JSON.
    Garbage,
    /// The true answer, cut in half.
    Truncated,
    /// GCP: the response's checksum is that of other bytes.
    CorruptCrc,
    /// GCP: `verified…Crc32c` is false although a checksum was sent, as if a proxy had dropped it.
    Unverified,
    /// One bit of the plaintext or ciphertext in the answer is flipped; checksums stay those of the true bytes.
    CorruptBytes,
    /// The plaintext of another key: random bytes of the right length, with checksums that fit them.
    OtherPlaintext,
    /// The answer names another version than the one that did the work.
    OtherVersion,
}

/// A fault that strikes the next calls that fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Only calls of this operation; any, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Only calls on the key of this short name; any, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many fitting calls it lets pass before it strikes.
    #[serde(default)]
    pub skip: u32,
    /// How many fitting calls it strikes.
    #[serde(default = "once")]
    pub times: u32,
}

const fn once() -> u32 {
    1
}

impl Fault {
    /// A fault that strikes the next call, whichever it is.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self { kind, operation: None, key: None, skip: 0, times: 1 }
    }

    /// Narrows it to calls of one operation.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// Narrows it to calls on one key, by short name.
    #[must_use]
    pub fn for_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Strikes `times` fitting calls instead of one.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lets `skip` fitting calls pass first.
    #[must_use]
    pub const fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Whether this call is struck; counts it down.
    pub(crate) fn strikes(&mut self, call: &Operation) -> bool {
        let fits = self.operation.as_deref().is_none_or(|name| name == call.name)
            && self.key.as_deref().is_none_or(|key| call.key.as_deref() == Some(key));
        if !fits || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}
