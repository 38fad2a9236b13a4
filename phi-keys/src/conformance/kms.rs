use super::{Violation, failed, rule};
use crate::kms::{Binding, Carrier, KekState, Kms, KmsError, WrapContext, Wrapped};

/// Checks a KMS whose KEK is enabled. It wraps about a dozen carriers and destroys nothing.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn kms(kms: &dyn Kms) -> Result<(), Violation> {
    let status = kms.status().await.map_err(failed("an enabled KEK answers `status`"))?;
    rule(status.state == KekState::Enabled, "an enabled KEK says so")?;
    rule(!kms.kek_id().is_empty(), "a KEK has a name")?;

    let carrier = Carrier::generate().map_err(failed("the machine has randomness"))?;
    let (here, there) = (WrapContext::from_digest([1; 32]), WrapContext::from_digest([2; 32]));
    let wrapped = kms.wrap_dek(&carrier, &here).await.map_err(failed("an enabled KEK wraps"))?;
    rule(wrapped.kek_id() == kms.kek_id(), "what is wrapped names the KEK")?;
    if let Some(version) = status.version {
        let named = wrapped.kek_version();
        rule(named.is_empty() || named == version, "what is wrapped names the version that wraps")?;
    }
    let stored = Wrapped::from_bytes(&wrapped.to_bytes()).map_err(failed("what is wrapped survives its bytes"))?;
    let opened = kms.unwrap_dek(&stored, &here).await.map_err(failed("a KEK unwraps what it wrapped"))?;
    rule(opened.expose() == carrier.expose(), "unwrapping gives back what was wrapped")?;
    let contains = wrapped.blob().windows(carrier.expose().len()).any(|part| part == carrier.expose().as_slice());
    rule(!contains, "what is wrapped is not readable")?;

    let again = kms.wrap_dek(&carrier, &here).await.map_err(failed("an enabled KEK wraps"))?;
    rule(again.blob() != wrapped.blob(), "wrapping twice gives different bytes")?;

    if wrapped.binding() == Binding::Native {
        let moved = kms.unwrap_dek(&wrapped, &there).await;
        rule(matches!(moved, Err(KmsError::Refused)), "with native binding another context is refused")?;
    }
    altered(kms, &wrapped, &here, &carrier).await?;

    let foreign = changed(&wrapped, "conformance:another-kek", wrapped.kek_version(), wrapped.blob())?;
    let foreign = kms.unwrap_dek(&foreign, &here).await;
    rule(matches!(foreign, Err(KmsError::OtherKek)), "a carrier of another KEK is refused as such")
}

/// Alters bytes all over the blob and cuts it off. Every bit would be slow where a KMS is far away.
async fn altered(kms: &dyn Kms, good: &Wrapped, context: &WrapContext, carrier: &Carrier) -> Result<(), Violation> {
    const RULE: &str = "altered bytes never unwrap to the carrier, and are refused";
    let length = good.blob().len();
    for at in [0, length / 4, length / 2, length * 3 / 4, length.saturating_sub(1)] {
        let mut blob = good.blob().to_vec();
        blob.get_mut(at)
            .map(|byte| *byte ^= 1)
            .ok_or(Violation { rule: "what is wrapped is not empty", source: None })?;
        let bad = changed(good, good.kek_id(), good.kek_version(), &blob)?;
        match kms.unwrap_dek(&bad, context).await {
            Err(KmsError::Refused | KmsError::UnknownVersion) => {}
            Err(error) => return Err(failed(RULE)(error)),
            // Without native binding a KMS may not notice; the key derivation then does.
            Ok(opened) => {
                rule(good.binding() == Binding::Derivation && opened.expose() != carrier.expose(), RULE)?;
            }
        }
    }
    let short = changed(good, good.kek_id(), good.kek_version(), good.blob().get(..length / 2).unwrap_or_default())?;
    rule(kms.unwrap_dek(&short, context).await.is_err(), "truncated bytes are refused")?;
    let empty = changed(good, good.kek_id(), good.kek_version(), &[])?;
    rule(kms.unwrap_dek(&empty, context).await.is_err(), "no bytes are refused")
}

fn changed(good: &Wrapped, kek_id: &str, version: &str, blob: &[u8]) -> Result<Wrapped, Violation> {
    Wrapped::new(kek_id, version, good.binding(), blob.to_vec()).map_err(failed("what is wrapped is short enough"))
}
