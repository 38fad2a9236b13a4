//! Why a KMS did not do what it was asked.

use core::fmt;
use core::time::Duration;
use std::error::Error;
use std::sync::Arc;

use crate::random::NoRandomness;

/// Where a failure came from. Its text must hold no secrets.
type Reason = Arc<dyn Error + Send + Sync>;

/// Why a KMS did not do what it was asked, in one set of words for all providers.
///
/// ```
/// use core::time::Duration;
/// use phi_keys::KmsError;
///
/// let busy = KmsError::Throttled { after: Some(Duration::from_secs(2)) };
/// assert!(busy.is_transient() && !busy.is_terminal());
/// assert!(KmsError::Disabled.is_terminal());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KmsError {
    /// The KMS asks for fewer calls: a rate or a quota is used up.
    Throttled {
        /// How long to wait before the next call, where the KMS says so.
        after: Option<Duration>,
    },
    /// The KMS did not answer, or not in time, or with an error of its own such as a 5xx. Trying again may help, after
    /// [`retry_after`](Self::retry_after) where the answer named a wait.
    Unavailable(Reason),
    /// Request or answer arrived damaged: a checksum does not match, or the answer is none to this request. Trying again may
    /// help. Wrapped bytes that the KMS does not accept are [`Refused`](Self::Refused) instead.
    Corrupt,
    /// The KMS knows the caller, who may not do this with this KEK.
    AccessDenied(Reason),
    /// The KMS does not know the caller: no credentials, expired ones, or a clock that is wrong.
    Unauthenticated(Reason),
    /// There is no such KEK.
    NotFound,
    /// The KEK, or its version, is switched off and can be switched on again.
    Disabled,
    /// The destruction of the KEK, or of its version, is scheduled; until then it can be cancelled.
    PendingDestruction,
    /// The KEK, or its version, is gone.
    Destroyed,
    /// The KEK has no key material that can be used: it waits for an import, which may also have expired, is still being made,
    /// or is out of the KMS's own reach. Holds the mend.
    NotReady(&'static str),
    /// The wrapped bytes were altered, or belong to another context. A KMS cannot tell which.
    Refused,
    /// The carrier was wrapped under another KEK.
    OtherKek,
    /// The version of the KEK is unknown here: destroyed, or newer than what this process has read.
    UnknownVersion,
    /// What was sent has more bytes than the KMS takes.
    TooLarge,
    /// The KMS or its client is set up wrongly. Holds the mend.
    Misconfigured(&'static str),
    /// The KMS cannot do this at all. Holds what was asked.
    Unsupported(&'static str),
    /// The KMS failed for another reason, which trying again does not mend.
    Failed(Reason),
}

impl KmsError {
    /// An [`Unavailable`](Self::Unavailable) with its reason, whose text must hold no secrets.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into().into())
    }

    /// An [`Unavailable`](Self::Unavailable) whose answer asked to be left alone for so long, if it did.
    pub fn unavailable_for(after: Option<Duration>, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        match after {
            Some(after) => Self::unavailable(Away { after, reason: reason.into() }),
            None => Self::unavailable(reason),
        }
    }

    /// An [`AccessDenied`](Self::AccessDenied) with its reason, whose text must hold no secrets.
    pub fn access_denied(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::AccessDenied(reason.into().into())
    }

    /// An [`Unauthenticated`](Self::Unauthenticated) with its reason, whose text must hold no secrets.
    pub fn unauthenticated(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unauthenticated(reason.into().into())
    }

    /// A [`Failed`](Self::Failed) with its reason, whose text must hold no secrets.
    pub fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into().into())
    }

    /// Whether the same call may succeed later without anybody mending anything: worth a retry, or another KEK.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable(_) | Self::Corrupt)
    }

    /// Whether somebody must mend something before the same call can succeed. It is never retried, and never answered by
    /// quietly using another KEK.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        !self.is_transient()
    }

    /// Whether the KMS has taken the KEK or the version away from the caller, so that what was unwrapped with it must not be
    /// used either.
    #[must_use]
    pub const fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::AccessDenied(_)
                | Self::Unauthenticated(_)
                | Self::NotFound
                | Self::Disabled
                | Self::PendingDestruction
                | Self::Destroyed
                | Self::UnknownVersion
                | Self::NotReady(_)
        )
    }

    /// How long the KMS asks to be left alone: what `Retry-After`, or Google's `RetryInfo`, names. A date counts from the
    /// `Date` of the same answer; without one, and in the obsolete forms of RFC 9110, it is ignored.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { after } => *after,
            Self::Unavailable(reason) => reason.downcast_ref().map(|away: &Away| away.after),
            _ => None,
        }
    }

    /// The kind in a word, for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt => "corrupt",
            Self::AccessDenied(_) => "access_denied",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::NotFound => "not_found",
            Self::Disabled => "disabled",
            Self::PendingDestruction => "pending_destruction",
            Self::Destroyed => "destroyed",
            Self::NotReady(_) => "not_ready",
            Self::Refused => "refused",
            Self::OtherKek => "other_kek",
            Self::UnknownVersion => "unknown_version",
            Self::TooLarge => "too_large",
            Self::Misconfigured(_) => "misconfigured",
            Self::Unsupported(_) => "unsupported",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled { after: Some(after) } => {
                return write!(f, "the KMS asks for fewer calls: wait {} ms, or raise its quota", after.as_millis());
            }
            Self::Throttled { after: None } => "the KMS asks for fewer calls: wait, or raise its quota",
            Self::Unavailable(_) => "the KMS does not answer: try again, and check that it can be reached",
            Self::Corrupt => "a message to or from the KMS was damaged on its way: try again, and check what is between",
            Self::AccessDenied(_) => "the caller may not do this with the KEK: grant the permission in the KMS",
            Self::Unauthenticated(_) => {
                "the KMS does not know the caller: renew the credentials, and check the clock of this machine"
            }
            Self::NotFound => "there is no such KEK: check its name, region, project or address",
            Self::Disabled => "the KEK is disabled: enable it in the KMS, or take it out of the configuration",
            Self::PendingDestruction => "the KEK will be destroyed: cancel its destruction in the KMS, or rewrap in time",
            Self::Destroyed => "the KEK is destroyed: take it out of the configuration and use another copy, if there is one",
            Self::Refused => {
                "the KMS refused the wrapped key: its bytes were altered, or it belongs to another context; restore the key row"
            }
            Self::OtherKek => "the key is wrapped under another KEK: give that KMS to the builder as well",
            Self::UnknownVersion => {
                "the version of the KEK is unknown: was it destroyed, or the keyring replaced by an older copy?"
            }
            Self::TooLarge => "the KMS takes fewer bytes than were sent: use a larger KEK or another algorithm",
            Self::NotReady(mend) => return write!(f, "the KEK is not ready: {mend}"),
            Self::Misconfigured(mend) => return write!(f, "the KMS is set up wrongly: {mend}"),
            Self::Unsupported(what) => return write!(f, "this KMS cannot {what}: use its own tools"),
            Self::Failed(_) => "the KMS failed in another way, which the source of this error names: mend that, then try again",
        })
    }
}

impl Error for KmsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => match reason.downcast_ref() {
                Some(Away { reason, .. }) => Some(&**reason),
                None => Some(&**reason),
            },
            Self::AccessDenied(reason) | Self::Unauthenticated(reason) | Self::Failed(reason) => Some(&**reason),
            _ => None,
        }
    }
}

/// A reason with the wait that came with it. It stays out of sight: [`KmsError::source`](Error::source) gives the reason.
#[derive(Debug)]
struct Away {
    after: Duration,
    reason: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for Away {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

impl From<NoRandomness> for KmsError {
    fn from(error: NoRandomness) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind.
    fn all() -> Vec<KmsError> {
        let after = Some(Duration::from_secs(1));
        vec![
            KmsError::Throttled { after },
            KmsError::Throttled { after: None },
            KmsError::unavailable("reason"),
            KmsError::unavailable_for(after, "reason"),
            KmsError::unavailable_for(None, "reason"),
            KmsError::Corrupt,
            KmsError::access_denied("reason"),
            KmsError::unauthenticated("reason"),
            KmsError::NotFound,
            KmsError::Disabled,
            KmsError::PendingDestruction,
            KmsError::Destroyed,
            KmsError::NotReady("import its key material"),
            KmsError::Refused,
            KmsError::OtherKek,
            KmsError::UnknownVersion,
            KmsError::TooLarge,
            KmsError::Misconfigured("name a key that encrypts"),
            KmsError::Unsupported("rotate"),
            KmsError::failed("reason"),
        ]
    }

    #[test]
    fn three_kinds_are_worth_another_try_and_no_error_is_both() {
        let transient = all().into_iter().filter(KmsError::is_transient).map(|error| error.kind()).collect::<Vec<_>>();
        assert_eq!(transient, ["throttled", "throttled", "unavailable", "unavailable", "unavailable", "corrupt"]);
        assert!(all().iter().all(|error| error.is_transient() != error.is_terminal()));
    }

    #[test]
    fn a_wait_is_kept_with_what_the_kms_is_too_busy_or_unable_for() {
        let waits = all().into_iter().filter(|error| error.retry_after() == Some(Duration::from_secs(1)));
        assert_eq!(waits.map(|error| error.kind()).collect::<Vec<_>>(), ["throttled", "unavailable"]);
        assert_eq!(all().iter().filter_map(KmsError::retry_after).count(), 2);
    }

    #[test]
    fn every_text_is_one_lower_case_clause_that_keeps_the_reason_in_the_source() {
        for error in all() {
            let text = error.to_string();
            assert!(text.starts_with(|first: char| first.is_lowercase()) && !text.ends_with('.'), "{text}");
            assert!(!text.contains("reason"), "{text}");
            let caused = matches!(error.kind(), "unavailable" | "access_denied" | "unauthenticated" | "failed");
            assert_eq!(error.source().map(ToString::to_string), caused.then(|| "reason".to_owned()), "{text}");
        }
    }
}
