use super::parts::{Work, together};
use super::{Must, Violation, failed, rule};
use crate::anchor::{AnchorError, StoreAnchor};
use crate::overlap::give_way;

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

/// Checks two ways to one empty anchor, as two processes have: what one appended the other reads, and of what both append at once
/// nothing is lost and each one's records stay in their order.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn store_anchor_shared(here: &dyn StoreAnchor, there: &dyn StoreAnchor) -> Result<(), Violation> {
    const SEEN: &str = "what one process appended the other one reads";
    const KEPT: &str =
        "of what several processes append at once nothing is lost, and each one's records stay in their order";
    const EACH: u8 = 25;
    let ways = [here, there];
    let mut known = Vec::new();
    for (number, from) in (0_u8..).zip(ways) {
        let record = vec![b's', number];
        from.append(core::slice::from_ref(&record)).await.must(SEEN)?;
        known.push(record);
        for to in ways {
            rule(to.read(0).await.must(SEEN)? == known, SEEN)?;
        }
    }
    // Two writers by each way, who append two records at a time.
    let writers =
        (0_u8..).zip([here, there, here, there]).map(|(writer, anchor)| -> Work<'_, Result<(), AnchorError>> {
            Box::pin(async move {
                for number in 0..EACH {
                    give_way().await;
                    anchor.append(&[vec![writer, number, 0], vec![writer, number, 1]]).await?;
                }
                Ok(())
            })
        });
    together(writers.collect()).await.into_iter().collect::<Result<(), _>>().must(KEPT)?;
    let all = here.read(0).await.must(SEEN)?;
    rule(there.read(0).await.must(SEEN)? == all, SEEN)?;
    rule(all.starts_with(&known) && all.len() == known.len() + 4 * 2 * usize::from(EACH), KEPT)?;
    for writer in 0..4_u8 {
        let theirs = all.iter().skip(known.len()).filter(|record| record.first() == Some(&writer)).cloned();
        let told = (0..EACH).flat_map(|number| [vec![writer, number, 0], vec![writer, number, 1]]);
        rule(theirs.eq(told), KEPT)?;
    }
    Ok(())
}
