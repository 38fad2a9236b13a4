use super::{Violation, failed, rule};
use crate::anchor::{AnchorError, StoreAnchor};

/// Checks an anchor that is empty.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn store_anchor(anchor: &dyn StoreAnchor) -> Result<(), Violation> {
    const WORKS: &str = "the anchor answers";
    let read = |from: u64| async move { anchor.read(from).await.map_err(failed(WORKS)) };
    let append = |records: Vec<Vec<u8>>| async move { anchor.append(&records).await.map_err(failed(WORKS)) };
    rule(read(0).await?.is_empty(), "an empty anchor has no records")?;
    append(Vec::new()).await?;
    rule(read(0).await?.is_empty(), "appending nothing adds nothing")?;
    append(vec![b"first".to_vec()]).await?;
    append(vec![b"second".to_vec(), vec![0xff; 1 << 20], b"first".to_vec()]).await?;
    let all = [b"first".to_vec(), b"second".to_vec(), vec![0xff; 1 << 20], b"first".to_vec()];
    for (from, number) in (0..=all.len()).zip(0_u64..) {
        let expected = all.get(from..).unwrap_or_default();
        rule(read(number).await? == expected, "records are read from any one on, in the order in which they came")?;
    }
    rule(read(u64::MAX).await?.is_empty(), "beyond the last record there is none")?;
    let refused = anchor.append(&[vec![0; (1 << 20) + 1]]).await;
    rule(matches!(refused, Err(AnchorError::TooLong)), "a record of more than 1 MiB is refused")?;
    rule(read(0).await?.len() == all.len(), "what was refused is not there")
}
