use core::time::Duration;

use super::parts::is_newest;
use super::{Violation, failed, rule};
use crate::kms::{Carrier, KekAct, KekState, KekTarget, KmsAdmin, KmsError, WrapContext, Wrapped};

/// Thirty days: every KMS allows it, and nothing is destroyed while the checks run.
const WINDOW: Duration = Duration::from_secs(30 * 86_400);
const ANSWERS: &str = "an enabled KEK answers";

/// Checks the administration of a KEK that is enabled and used for nothing else. It adds a version, switches the KEK off and
/// on, and schedules a destruction that it takes back. What the KMS calls unsupported is left out. What was changed must show
/// in the next call: one that takes a while to say so everywhere is wrapped in [`Settling`](super::Settling).
///
/// # Errors
/// [`Violation`] naming the first rule that is broken; the KEK may then be left disabled or about to be destroyed.
pub async fn kms_admin(kms: &dyn KmsAdmin) -> Result<(), Violation> {
    match kms_admin_violations(kms).await.into_iter().next() {
        None => Ok(()),
        Some(violation) => Err(violation),
    }
}

/// Checks as [`kms_admin`] does, but goes on after a broken rule. Each group of rules reports at most its first violation.
pub async fn kms_admin_violations(kms: &dyn KmsAdmin) -> Vec<Violation> {
    let groups = [rotation(kms).await, disabling(kms).await, destruction(kms).await];
    groups.into_iter().filter_map(Result::err).collect()
}

const fn context() -> WrapContext {
    WrapContext::from_digest([3; 32])
}

async fn wrapped(kms: &dyn KmsAdmin) -> Result<(Carrier, Wrapped), Violation> {
    kms.generate(&context()).await.map_err(failed("an enabled KEK generates carriers"))
}

async fn opens(kms: &dyn KmsAdmin, wrapped: &Wrapped, carrier: &Carrier) -> Result<bool, Violation> {
    let opened = kms.unwrap_dek(wrapped, &context()).await.map_err(failed("an enabled KEK unwraps what it wrapped"))?;
    Ok(opened.expose() == carrier.expose())
}

/// Adds a version, and looks at what was wrapped under the one before.
async fn rotation(kms: &dyn KmsAdmin) -> Result<(), Violation> {
    rule(kms.capabilities().admin, "a KMS that can be administered says so")?;
    let before = kms.versions().await.map_err(failed(ANSWERS))?;
    rule(before.kek_id == kms.kek_id(), "the versions name their KEK")?;
    let (carrier, old) = wrapped(kms).await?;
    let wrapped_by = kms.status().await.map_err(failed(ANSWERS))?.version;
    let change = match kms.rotate().await {
        Err(KmsError::Unsupported(_)) => return Ok(()),
        change => change.map_err(failed("an enabled KEK can be rotated"))?,
    };
    rule(change.act == KekAct::Rotate && change.kek_id == kms.kek_id(), "a rotation is reported as such")?;
    let after = kms.versions().await.map_err(failed(ANSWERS))?;
    rule(after.versions.len() == before.versions.len() + 1, "a rotation adds one version")?;
    let status = kms.status().await.map_err(failed(ANSWERS))?;
    rule(status.version.is_none() || status.version != wrapped_by, "after a rotation the new version wraps")?;
    rule(
        is_newest(change.version.as_deref().unwrap_or_default(), status.version.as_deref()),
        "after a rotation the new version wraps",
    )?;
    rule(opens(kms, &old, &carrier).await?, "what was wrapped before a rotation still opens")?;
    let moved = kms.rewrap(&old, &context()).await.map_err(failed("after a rotation a KEK rewraps"))?.into_wrapped();
    rule(opens(kms, &moved, &carrier).await?, "a rewrap keeps the carrier")?;
    rule(is_newest(moved.kek_version(), status.version.as_deref()), "a rewrap is under the newest version")?;
    rule(moved.kek_version().is_empty() || old.kek_version() != moved.kek_version(), "two versions have two names")?;
    old_version(kms, &carrier, &old).await
}

/// What was wrapped before a rotation ends with its own version, whatever the newest one says.
async fn old_version(kms: &dyn KmsAdmin, carrier: &Carrier, old: &Wrapped) -> Result<(), Violation> {
    let version = old.kek_version();
    if version.is_empty() {
        return Ok(());
    }
    let state = async || kms.version_state(version).await.map_err(failed("an enabled KEK answers for its versions"));
    rule(state().await?.is_none_or(KekState::is_usable), "a version that unwraps is usable")?;
    // Some KMSs switch a version off only after all older ones, and on again before them.
    let known = kms.versions().await.map_err(failed(ANSWERS))?.versions;
    let usable = known.into_iter().filter(|version| version.state.is_usable()).map(|version| version.name);
    let mut older = usable.take_while(|name| name != version).collect::<Vec<_>>();
    older.push(version.to_owned());
    let (mut off, mut refused) = (Vec::new(), None);
    for name in older {
        let target = KekTarget::Version(name);
        match kms.disable(&target).await {
            Ok(_) => off.push(target),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let (opened, disabled, whole) = (kms.unwrap_dek(old, &context()).await, state().await, kms.status().await);
    let mut enabled = Ok(());
    for target in off.iter().rev() {
        enabled = enabled.and(kms.enable(target).await.map(drop));
    }
    match refused {
        Some(KmsError::Unsupported(_)) => return Ok(()),
        Some(error) => return Err(failed("an enabled version can be disabled")(error)),
        None => enabled.map_err(failed("a disabled version can be enabled"))?,
    }
    rule(opened.is_err_and(|error| error.is_terminal()), "a version that is disabled does not unwrap")?;
    rule(
        whole.is_ok_and(|status| status.state.is_usable()),
        "an older version that is disabled does not disable the KEK",
    )?;
    rule(disabled?.is_some_and(|state| !state.is_usable()), "a version that is disabled says so")?;
    rule(opens(kms, old, carrier).await?, "a version that is enabled again unwraps again")
}

/// The target that a KMS knows: the KEK, or the version that wraps.
async fn targets(kms: &dyn KmsAdmin) -> Result<Vec<KekTarget>, Violation> {
    let version = kms.status().await.map_err(failed(ANSWERS))?.version;
    Ok([KekTarget::Kek].into_iter().chain(version.map(KekTarget::Version)).collect())
}

async fn disabling(kms: &dyn KmsAdmin) -> Result<(), Violation> {
    let (carrier, good) = wrapped(kms).await?;
    for target in targets(kms).await? {
        let change = match kms.disable(&target).await {
            Err(KmsError::Unsupported(_)) => continue,
            change => change.map_err(failed("an enabled KEK can be disabled"))?,
        };
        rule(change.act == KekAct::Disable && change.state == KekState::Disabled, "a disabling is reported as such")?;
        let opened = kms.unwrap_dek(&good, &context()).await;
        let status = kms.status().await;
        let enabled = kms.enable(&target).await.map_err(failed("a disabled KEK can be enabled"))?;
        rule(matches!(opened, Err(KmsError::Disabled)), "what is disabled does not unwrap, and says why")?;
        rule(status.is_ok_and(|status| status.state == KekState::Disabled), "what is disabled says so")?;
        rule(enabled.state == KekState::Enabled, "an enabling is reported as such")?;
        rule(opens(kms, &good, &carrier).await?, "what is enabled again unwraps again")?;
    }
    Ok(())
}

async fn destruction(kms: &dyn KmsAdmin) -> Result<(), Violation> {
    let (carrier, good) = wrapped(kms).await?;
    for target in targets(kms).await? {
        let change = match kms.schedule_destruction(&target, WINDOW).await {
            Err(KmsError::Unsupported(_)) => continue,
            change => change.map_err(failed("the destruction of an enabled KEK can be scheduled"))?,
        };
        let opened = kms.unwrap_dek(&good, &context()).await;
        let cancelled = match kms.cancel_destruction(&target).await {
            // Some destroy at once what has no undo, and say so in the report.
            Err(KmsError::Unsupported(_)) => return Ok(()),
            cancelled => cancelled.map_err(failed("a scheduled destruction can be cancelled"))?,
        };
        if cancelled.state == KekState::Disabled {
            let _ = kms.enable(&target).await.map_err(failed("what is not to be destroyed any more can be enabled"))?;
        }
        rule(change.act == KekAct::ScheduleDestruction, "a scheduled destruction is reported as such")?;
        rule(change.state == KekState::PendingDestruction, "what is to be destroyed says so")?;
        rule(change.destruction.is_some(), "a scheduled destruction says when")?;
        rule(opened.is_err_and(|error| error.is_terminal()), "what is to be destroyed does not unwrap")?;
        rule(opens(kms, &good, &carrier).await?, "what is not to be destroyed any more unwraps again")?;
    }
    Ok(())
}
