use super::parts::is_newest;
use super::{Violation, failed, rule};
use crate::kms::{Binding, Carrier, ContextBinding, KekState, Kms, KmsError, Rewrap, WrapContext, Wrapped};

const WRAPS: &str = "an enabled KEK wraps";

/// Checks a KMS whose KEK is enabled. It wraps some twenty carriers and destroys nothing.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn kms(kms: &dyn Kms) -> Result<(), Violation> {
    match kms_violations(kms).await.into_iter().next() {
        None => Ok(()),
        Some(violation) => Err(violation),
    }
}

/// Checks as [`kms`] does, but goes on after a broken rule: for an emulator whose known gaps are listed in a table. Each
/// group of rules reports at most its first violation.
pub async fn kms_violations(kms: &dyn Kms) -> Vec<Violation> {
    let groups = [
        status(kms).await,
        wrapping(kms).await,
        context(kms).await,
        alteration(kms).await,
        truncation(kms).await,
        foreign(kms).await,
        generation(kms).await,
        rewrapping(kms).await,
    ];
    groups.into_iter().filter_map(Result::err).collect()
}

const fn here() -> WrapContext {
    WrapContext::from_digest([1; 32])
}

const fn there() -> WrapContext {
    WrapContext::from_digest([2; 32])
}

async fn wrapped(kms: &dyn Kms) -> Result<(Carrier, Wrapped), Violation> {
    let carrier = Carrier::generate().map_err(failed("the machine has randomness"))?;
    let wrapped = kms.wrap_dek(&carrier, &here()).await.map_err(failed(WRAPS))?;
    Ok((carrier, wrapped))
}

async fn opens(kms: &dyn Kms, wrapped: &Wrapped, carrier: &Carrier) -> Result<(), Violation> {
    let opened = kms.unwrap_dek(wrapped, &here()).await.map_err(failed("a KEK unwraps what it wrapped"))?;
    rule(opened.expose() == carrier.expose(), "unwrapping gives back what was wrapped")
}

async fn status(kms: &dyn Kms) -> Result<(), Violation> {
    rule(!kms.kek_id().is_empty(), "a KEK has a name")?;
    let status = kms.status().await.map_err(failed("an enabled KEK answers `status`"))?;
    rule(status.state == KekState::Enabled, "an enabled KEK says so")?;
    let (_, wrapped) = wrapped(kms).await?;
    rule(is_newest(wrapped.kek_version(), status.version.as_deref()), "what is wrapped names the version that wraps")?;
    rule(
        !kms.capabilities().named_version || !wrapped.kek_version().is_empty(),
        "a KMS that says it names versions names them",
    )
}

async fn wrapping(kms: &dyn Kms) -> Result<(), Violation> {
    let (carrier, wrapped) = wrapped(kms).await?;
    rule(wrapped.kek_id() == kms.kek_id(), "what is wrapped names the KEK")?;
    let stored = Wrapped::from_bytes(&wrapped.to_bytes()).map_err(failed("what is wrapped survives its bytes"))?;
    opens(kms, &stored, &carrier).await?;
    rule(!readable(&wrapped, &carrier), "what is wrapped is not readable")?;
    let again = kms.wrap_dek(&carrier, &here()).await.map_err(failed(WRAPS))?;
    // A deterministic wrapping shows who shares a carrier; none is ever shared, but a KMS that can avoid it does.
    rule(
        again.blob() != wrapped.blob() || wrapped.binding() == Binding::Derivation,
        "wrapping twice gives different bytes",
    )
}

fn readable(wrapped: &Wrapped, carrier: &Carrier) -> bool {
    wrapped.blob().windows(carrier.expose().len()).any(|part| part == carrier.expose().as_slice())
}

async fn context(kms: &dyn Kms) -> Result<(), Violation> {
    let (_, wrapped) = wrapped(kms).await?;
    let native = kms.capabilities().context_binding != ContextBinding::None;
    rule(native == (wrapped.binding() == Binding::Native), "the binding is what the KMS says it can do")?;
    if native {
        let moved = kms.unwrap_dek(&wrapped, &there()).await;
        rule(matches!(moved, Err(KmsError::Refused)), "with native binding another context is refused")?;
        let stripped =
            Wrapped::new(wrapped.kek_id(), wrapped.kek_version(), Binding::Derivation, wrapped.blob().to_vec())
                .and_then(|relabelled| relabelled.with_algorithm(wrapped.algorithm()))
                .map_err(failed("what is wrapped is short enough"))?;
        let stripped = kms.unwrap_dek(&stripped, &there()).await;
        rule(stripped.is_err(), "a stripped binding mode does not open another context")?;
    }
    Ok(())
}

/// Alters bytes all over the blob. Every bit would be slow where a KMS is far away.
async fn alteration(kms: &dyn Kms) -> Result<(), Violation> {
    const RULE: &str = "altered bytes never unwrap to the carrier, and are refused";
    let (carrier, good) = wrapped(kms).await?;
    let length = good.blob().len();
    for at in [0, length / 4, length / 2, length * 3 / 4, length.saturating_sub(1)] {
        let mut blob = good.blob().to_vec();
        blob.get_mut(at)
            .map(|byte| *byte ^= 1)
            .ok_or(Violation { rule: "what is wrapped is not empty", source: None })?;
        let bad = changed(&good, good.kek_id(), good.kek_version(), &blob)?;
        match kms.unwrap_dek(&bad, &here()).await {
            Err(KmsError::Refused | KmsError::UnknownVersion) => {}
            Err(error) => return Err(failed(RULE)(error)),
            // Without native binding a KMS may not notice; the key derivation then does.
            Ok(opened) => {
                rule(good.binding() == Binding::Derivation && opened.expose() != carrier.expose(), RULE)?;
            }
        }
    }
    Ok(())
}

async fn truncation(kms: &dyn Kms) -> Result<(), Violation> {
    let (_, good) = wrapped(kms).await?;
    let half = good.blob().get(..good.blob().len() / 2).unwrap_or_default();
    let short = kms.unwrap_dek(&changed(&good, good.kek_id(), good.kek_version(), half)?, &here()).await;
    rule(short.is_err(), "truncated bytes are refused")?;
    let empty = kms.unwrap_dek(&changed(&good, good.kek_id(), good.kek_version(), &[])?, &here()).await;
    rule(empty.is_err(), "no bytes are refused")
}

async fn foreign(kms: &dyn Kms) -> Result<(), Violation> {
    let (_, good) = wrapped(kms).await?;
    let other = changed(&good, "conformance:another-kek", good.kek_version(), good.blob())?;
    let other = kms.unwrap_dek(&other, &here()).await;
    rule(matches!(other, Err(KmsError::OtherKek)), "a carrier of another KEK is refused as such")?;
    if kms.capabilities().named_version {
        let relabelled = changed(&good, good.kek_id(), "conformance-no-such-version", good.blob())?;
        let relabelled = kms.unwrap_dek(&relabelled, &here()).await;
        rule(relabelled.is_err(), "a version that the KMS does not confirm is refused")?;
    }
    Ok(())
}

async fn generation(kms: &dyn Kms) -> Result<(), Violation> {
    const RULE: &str = "an enabled KEK generates carriers";
    let (carrier, wrapped) = kms.generate(&here()).await.map_err(failed(RULE))?;
    rule(wrapped.kek_id() == kms.kek_id(), "what is generated names the KEK")?;
    rule(!readable(&wrapped, &carrier), "what is generated is not readable")?;
    opens(kms, &wrapped, &carrier).await?;
    let (other, _) = kms.generate(&here()).await.map_err(failed(RULE))?;
    rule(other.expose() != carrier.expose() && *carrier.expose() != [0; 32], "every generated carrier is another")
}

async fn rewrapping(kms: &dyn Kms) -> Result<(), Violation> {
    let (carrier, good) = wrapped(kms).await?;
    let rewrap = kms.rewrap(&good, &here()).await.map_err(failed("an enabled KEK rewraps what it wrapped"))?;
    let server_side = matches!(rewrap, Rewrap::ServerSide(_));
    rule(!server_side || kms.capabilities().server_rewrap, "a rewrap says truly where it happened")?;
    let next = rewrap.into_wrapped();
    let kept = |w: &Wrapped| (w.kek_id().to_owned(), w.binding(), w.algorithm().to_owned());
    rule(kept(&next) == kept(&good), "a rewrap keeps KEK, binding and algorithm")?;
    opens(kms, &next, &carrier).await?;
    opens(kms, &good, &carrier).await?;
    if good.binding() == Binding::Native {
        let moved = kms.rewrap(&good, &there()).await;
        rule(moved.is_err(), "with native binding a rewrap under another context is refused")?;
    }
    let other = changed(&good, "conformance:another-kek", good.kek_version(), good.blob())?;
    let other = kms.rewrap(&other, &here()).await;
    rule(matches!(other, Err(KmsError::OtherKek)), "a rewrap refuses a carrier of another KEK as such")
}

fn changed(good: &Wrapped, kek_id: &str, version: &str, blob: &[u8]) -> Result<Wrapped, Violation> {
    Wrapped::new(kek_id, version, good.binding(), blob.to_vec())
        .and_then(|wrapped| wrapped.with_algorithm(good.algorithm()))
        .map_err(failed("what is wrapped is short enough"))
}
