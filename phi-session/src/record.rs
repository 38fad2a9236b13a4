//! What a store keeps of a session.
//!
//! The fields are public because stores take rows apart and put them together; the key that signs a row never reaches
//! a store, so a store can lose a session but cannot make or promote one.
//!
//! ```
//! use phi_session::EndReason;
//!
//! assert_eq!(EndReason::from_code(EndReason::Logout.code()), Some(EndReason::Logout));
//! ```

use core::fmt;
use std::sync::Arc;

use phi_types::{Actor, Timestamp};

use crate::{AuthEvent, PublicId, TokenHash};

/// The part of a session that changes only by a rotation. Everything in it is under [`mac`](Self::mac).
///
/// `Debug` shows neither the hash nor the MAC.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the columns of a frozen format; another column is another version")]
pub struct Row {
    /// The name that may be seen; the primary key.
    pub public_id: PublicId,
    /// Finds the row from a token; unique.
    pub token_hash: TokenHash,
    /// Whose session it is.
    pub user: Actor,
    /// The organisation within a shared installation, when there are several.
    pub tenant: Option<String>,
    /// The role that the application gave the user for this session.
    pub role: Option<String>,
    /// When the user signed in.
    pub created: Timestamp,
    /// The first instant at which the session is dead whatever happens.
    pub absolute_deadline: Timestamp,
    /// Every authentication of the session, oldest first, at most [`AuthEvent::MAX`].
    pub auth: Vec<AuthEvent>,
    /// A reference to an extraordinary grant that the session holds, such as a break-glass grant.
    pub grant: Option<String>,
    /// 1 at login, one more with every rotation.
    pub version: u64,
    /// HMAC over all of the above, see `SPEC.md`.
    pub mac: [u8; 32],
}

impl Row {
    /// The bytes under the row MAC.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let optional =
            [&self.tenant, &self.role, &self.grant].into_iter().fold(0, |n, field| n + u8::from(field.is_some()));
        let mut tlv = Tlv::new(b"phi/session-row/v1", 8 + optional);
        tlv.put(1, self.token_hash.as_bytes());
        tlv.put(2, self.public_id.as_bytes());
        tlv.put(3, self.user.kind().as_str().as_bytes());
        tlv.put(4, self.user.id().as_bytes());
        tlv.put_some(5, self.tenant.as_deref());
        tlv.put_some(6, self.role.as_deref());
        tlv.put(7, &self.created.as_unix_micros().to_be_bytes());
        tlv.put(8, &self.absolute_deadline.as_unix_micros().to_be_bytes());
        tlv.put(9, &AuthEvent::encode(&self.auth));
        tlv.put_some(10, self.grant.as_deref());
        tlv.put(11, &self.version.to_be_bytes());
        tlv.out
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("public_id", &self.public_id)
            .field("user", &self.user)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The part of a session that every user activity moves, forward only.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the columns of a frozen format; another column is another version")]
pub struct Stamp {
    /// The last user activity that was written.
    pub last_activity: Timestamp,
    /// The first instant at which the session is dead for want of activity.
    pub idle_deadline: Timestamp,
    /// HMAC over both, the row's token hash and its version, see `SPEC.md`.
    pub mac: [u8; 32],
}

impl Stamp {
    /// The bytes under the stamp MAC.
    pub(crate) fn canonical(&self, row: &Row) -> Vec<u8> {
        let mut tlv = Tlv::new(b"phi/session-stamp/v1", 4);
        tlv.put(1, row.token_hash.as_bytes());
        tlv.put(2, &row.version.to_be_bytes());
        tlv.put(3, &self.last_activity.as_unix_micros().to_be_bytes());
        tlv.put(4, &self.idle_deadline.as_unix_micros().to_be_bytes());
        tlv.out
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamp")
            .field("last_activity", &self.last_activity)
            .field("idle_deadline", &self.idle_deadline)
            .finish_non_exhaustive()
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EndReason {
    /// The user signed out.
    Logout,
    /// The user signed in again from the same browser.
    Replaced,
    /// An administrator or the user, from another session, ended it.
    Revoked,
    /// The user signed in elsewhere more often than the policy allows.
    Evicted,
    /// No activity for the policy's idle time.
    ExpiredIdle,
    /// The policy's absolute time was over.
    ExpiredAbsolute,
    /// The login could not be made durable in the audit log, so it did not happen.
    Unrecorded,
}

impl EndReason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Logout,
        Self::Replaced,
        Self::Revoked,
        Self::Evicted,
        Self::ExpiredIdle,
        Self::ExpiredAbsolute,
        Self::Unrecorded,
    ];

    /// The byte that a stored row holds; frozen.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Logout => 1,
            Self::Replaced => 2,
            Self::Revoked => 3,
            Self::Evicted => 4,
            Self::ExpiredIdle => 5,
            Self::ExpiredAbsolute => 6,
            Self::Unrecorded => 7,
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The kind of the activity that reports it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Logout => "session.logout",
            Self::Replaced => "session.replaced",
            Self::Revoked => "session.revoked",
            Self::Evicted => "session.evicted",
            Self::ExpiredIdle => "session.expired_idle",
            Self::ExpiredAbsolute => "session.expired_absolute",
            Self::Unrecorded => "session.unrecorded",
        }
    }
}

/// That a session ended, kept until its absolute deadline so that nothing brings it back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tombstone {
    /// When it was set. An expired session was dead from its deadline on, however late that was noticed.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
    /// The text form of who ended it, when that was a party other than the clock.
    pub by: Option<String>,
}

impl Tombstone {
    /// An end without a party behind it.
    #[must_use]
    pub const fn new(reason: EndReason, at: Timestamp) -> Self {
        Self { at, reason, by: None }
    }

    /// Says who ended it.
    #[must_use]
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = Some(who.into());
        self
    }
}

/// A session as a store answers with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three parts of a frozen format")]
pub struct Stored {
    /// Who and what.
    pub row: Arc<Row>,
    /// The moving deadlines.
    pub stamp: Stamp,
    /// Set once, never unset.
    pub ended: Option<Tombstone>,
}

/// Writer of a canonical TLV: `prefix ‖ u8 n ‖ n × (u8 tag ‖ u32be length ‖ value)` with rising tags; an absent value
/// has no entry, an empty one has length 0.
struct Tlv {
    out: Vec<u8>,
}

impl Tlv {
    fn new(prefix: &[u8], entries: u8) -> Self {
        let mut out = Vec::with_capacity(320);
        out.extend_from_slice(prefix);
        out.push(entries);
        Self { out }
    }

    fn put(&mut self, tag: u8, value: &[u8]) {
        self.out.push(tag);
        // No field reaches 4 GiB; if one did, the saturated length would only make the MAC fail to verify elsewhere.
        self.out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.out.extend_from_slice(value);
    }

    fn put_some(&mut self, tag: u8, value: Option<&str>) {
        if let Some(value) = value {
            self.put(tag, value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_their_codes() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(EndReason::from_code(0), None);
    }

    #[test]
    fn what_identifies_a_row_is_printed_and_no_hash_or_mac() {
        let row = Row {
            public_id: PublicId::from_bytes([7; 16]),
            token_hash: TokenHash::from_bytes([0xab; 32]),
            user: Actor::human("ada").unwrap(),
            tenant: None,
            role: None,
            created: Timestamp::UNIX_EPOCH,
            absolute_deadline: Timestamp::UNIX_EPOCH,
            auth: Vec::new(),
            grant: None,
            version: 41,
            mac: [0xcd; 32],
        };
        let stamp = Stamp {
            last_activity: Timestamp::from_unix_seconds(60),
            idle_deadline: Timestamp::from_unix_seconds(120),
            mac: [0xcd; 32],
        };
        let (row, stamp) = (format!("{row:?}"), format!("{stamp:?}"));
        assert!(row.contains(&PublicId::from_bytes([7; 16]).to_string()) && row.contains("version: 41"), "{row}");
        assert!(stamp.contains("00:01:00") && stamp.contains("00:02:00"), "{stamp}");
        for text in [row, stamp] {
            assert!(["ab", "cd", "171", "205"].iter().all(|byte| !text.contains(byte)), "{text}");
        }
    }
}
