//! What is done to KEKs themselves.

use core::time::Duration;

use phi_types::{Action, Activity, Outcome, Timestamp};

use super::{KekState, Kms, KmsError, KmsFuture};

/// Rotates, disables and destroys a KEK. Kept apart from [`Kms`], because whoever seals data should not hold these
/// permissions. What a KMS cannot do is [`KmsError::Unsupported`](super::KmsError::Unsupported).
///
/// Implementations run `conformance::kms_admin` (feature `test-util`) against a KEK of no other use.
///
/// ```
/// use core::time::Duration;
/// use phi_keys::{EphemeralKeyring, KekAct, KekTarget, Kms, KmsAdmin};
/// use phi_types::{Clock, Outcome, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kms = EphemeralKeyring::generate()?;
/// let rotated = kms.rotate().await?;
/// assert_eq!(rotated.version.as_deref(), Some("2"));
/// let entry = rotated.activity(SystemClock::new().now());
/// assert_eq!(entry.kind, "kek.rotate");
/// kms.schedule_destruction(&KekTarget::Version("1".into()), Duration::from_secs(7 * 86_400)).await?;
///
/// // Who tried what they may not, or could not, belongs into the log as well.
/// let unknown = KekTarget::Version("9".into());
/// let Err(error) = kms.disable(&unknown).await else { unreachable!() };
/// let entry = KekAct::Disable.failure(kms.kek_id(), &unknown, &error, SystemClock::new().now());
/// assert_eq!((&*entry.kind, entry.outcome), ("kek.disable", Outcome::Refused));
/// # Ok(())
/// # }
/// ```
pub trait KmsAdmin: Kms {
    /// Every version of the KEK that the KMS still names, oldest first.
    ///
    /// # Errors
    /// [`KmsError`](super::KmsError).
    fn versions(&self) -> KmsFuture<'_, KekVersions>;

    /// Adds a version, under which everything is wrapped from now on. [`Keys::rewrap`](crate::Keys::rewrap) then moves
    /// what was wrapped before.
    ///
    /// # Errors
    /// [`KmsError`](super::KmsError).
    fn rotate(&self) -> KmsFuture<'_, KekChange>;

    /// Switches the KEK or a version off. It can be switched on again.
    ///
    /// # Errors
    /// [`KmsError`](super::KmsError).
    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange>;

    /// Switches the KEK or a version on again.
    ///
    /// # Errors
    /// [`KmsError`](super::KmsError).
    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange>;

    /// Has the KEK or a version destroyed after `window`, rounded up to what the KMS can do; the report says when. What is
    /// then still wrapped under it alone is lost.
    ///
    /// # Errors
    /// [`KmsError`](super::KmsError); [`KmsError::Misconfigured`](super::KmsError::Misconfigured) when the KMS does not
    /// allow this window.
    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange>;

    /// Takes a scheduled destruction back. The KEK or version may then still be disabled; the report says so.
    ///
    /// # Errors
    /// [`KmsError`](super::KmsError).
    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange>;
}

/// What an administrator acts upon. Some KMSs know only whole KEKs, some only versions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KekTarget {
    /// The KEK with all its versions.
    Kek,
    /// One version, in the KMS's own words.
    Version(String),
}

impl KekTarget {
    /// The version, unless the whole KEK is meant.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Kek => None,
            Self::Version(version) => Some(version),
        }
    }
}

/// One version of a KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KekVersion {
    /// Its name, in the KMS's own words.
    pub name: String,
    /// Whether it can be used.
    pub state: KekState,
    /// When it was made, where the KMS says so.
    pub created: Option<Timestamp>,
}

impl KekVersion {
    /// A version.
    #[must_use]
    pub fn new(name: impl Into<String>, state: KekState, created: Option<Timestamp>) -> Self {
        Self { name: name.into(), state, created }
    }
}

/// The versions of a KEK, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KekVersions {
    /// Whose versions they are.
    pub kek_id: String,
    /// The versions.
    pub versions: Vec<KekVersion>,
}

impl KekVersions {
    /// The versions of a KEK.
    #[must_use]
    pub fn new(kek_id: impl Into<String>, versions: Vec<KekVersion>) -> Self {
        Self { kek_id: kek_id.into(), versions }
    }

    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        Activity::new("kek.versions", Action::Read, Outcome::Success, at)
            .with("kek", self.kek_id.clone())
            .with("versions", u64::try_from(self.versions.len()).unwrap_or(u64::MAX))
    }
}

/// What was done to a KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KekAct {
    /// A version was added.
    Rotate,
    /// It was switched off.
    Disable,
    /// It was switched on.
    Enable,
    /// Its destruction was scheduled.
    ScheduleDestruction,
    /// Its destruction was taken back.
    CancelDestruction,
    /// It was taken out of its keyring for ever.
    Retire,
}

impl KekAct {
    /// The kind of the audit entry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "kek.rotate",
            Self::Disable => "kek.disable",
            Self::Enable => "kek.enable",
            Self::ScheduleDestruction => "kek.schedule_destruction",
            Self::CancelDestruction => "kek.cancel_destruction",
            Self::Retire => "kek.retire",
        }
    }

    /// The entry for the audit log when the act was refused by the KMS or failed: on which KEK or version, and the
    /// [kind](KmsError::kind) of the error, whose text may say more than a log should hold.
    #[must_use]
    pub fn failure(self, kek_id: &str, target: &KekTarget, error: &KmsError, at: Timestamp) -> Activity {
        let is_failure = error.is_transient() || matches!(error, KmsError::Failed(_));
        let outcome = if is_failure { Outcome::Failed } else { Outcome::Refused };
        let entry = Activity::new(self.as_str(), self.action(), outcome, at)
            .with("kek", kek_id.to_owned())
            .with("error", error.kind());
        match target.version() {
            Some(version) => entry.with("version", version.to_owned()),
            None => entry,
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::Rotate => Action::Create,
            Self::ScheduleDestruction | Self::Retire => Action::Delete,
            Self::Disable | Self::Enable | Self::CancelDestruction => Action::Update,
        }
    }
}

/// A KEK was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a change of a KEK belongs into the audit log"]
#[non_exhaustive]
pub struct KekChange {
    /// The KEK.
    pub kek_id: String,
    /// What was done.
    pub act: KekAct,
    /// The version that it was done to, or that came into being; `None` for the whole KEK.
    pub version: Option<String>,
    /// In which state KEK or version is now.
    pub state: KekState,
    /// When KEK or version will be destroyed.
    pub destruction: Option<Timestamp>,
}

impl KekChange {
    /// A change.
    pub fn new(kek_id: impl Into<String>, act: KekAct, version: Option<String>, state: KekState) -> Self {
        Self { kek_id: kek_id.into(), act, version, state, destruction: None }
    }

    /// Says when KEK or version will be destroyed.
    pub const fn with_destruction(mut self, at: Timestamp) -> Self {
        self.destruction = Some(at);
        self
    }

    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        let entry = Activity::new(self.act.as_str(), self.act.action(), Outcome::Success, at)
            .with("kek", self.kek_id.clone())
            .with("state", self.state.as_str());
        let entry = match &self.version {
            Some(version) => entry.with("version", version.clone()),
            None => entry,
        };
        match self.destruction {
            Some(destruction) => entry.with("destruction", destruction),
            None => entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use phi_types::Detail;

    use super::*;

    #[test]
    fn what_was_refused_and_what_failed_are_entries_of_their_own() {
        let (kek, version) = (KekTarget::Kek, KekTarget::Version("7".to_owned()));
        let table = [
            (KmsError::access_denied("a secret"), Outcome::Refused, "access_denied"),
            (KmsError::unauthenticated("a secret"), Outcome::Refused, "unauthenticated"),
            (KmsError::UnknownVersion, Outcome::Refused, "unknown_version"),
            (KmsError::Misconfigured("choose a window"), Outcome::Refused, "misconfigured"),
            (KmsError::Unsupported("rotate"), Outcome::Refused, "unsupported"),
            (KmsError::unavailable("a secret"), Outcome::Failed, "unavailable"),
            (KmsError::Throttled { after: None }, Outcome::Failed, "throttled"),
            (KmsError::failed("a secret"), Outcome::Failed, "failed"),
        ];
        let at = Timestamp::from_unix_seconds(1);
        for (error, outcome, kind) in table {
            let entry = KekAct::ScheduleDestruction.failure("aws-kms:arn", &version, &error, at);
            assert_eq!(
                (&*entry.kind, entry.action, entry.outcome),
                ("kek.schedule_destruction", Action::Delete, outcome)
            );
            let detail = |name: &str| entry.detail(name).cloned();
            assert_eq!(detail("kek"), Some(Detail::from("aws-kms:arn")));
            assert_eq!((detail("error"), detail("version")), (Some(Detail::from(kind)), Some(Detail::from("7"))));
            assert!(!format!("{entry:?}").contains("a secret"), "{entry:?}");
        }
        let entry = KekAct::Rotate.failure("aws-kms:arn", &kek, &KmsError::NotFound, at);
        assert_eq!((entry.outcome, entry.detail("version")), (Outcome::Refused, None));
    }
}
