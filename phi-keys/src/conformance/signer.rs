use super::parts::{Work, together};
use super::{Must, Violation, rule};
use crate::signer::{SignError, Signer};

/// What every signer takes, see [`Signer::sign`].
const LONGEST: usize = 4_096;
const SIGNS: &str = "a signer that can be reached signs";
const VERIFIES: &str = "a signature verifies under the public key of its signer";

/// Checks a signer: what it signs verifies under its public key, for this message and no other, and no altered signature does;
/// also when it signs for four at once. It signs some ten messages, and is asked a second time where it gives no signature.
///
/// ```
/// use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, conformance};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// conformance::signer(&keys.signer("audit").await?).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn signer(signer: &dyn Signer) -> Result<(), Violation> {
    let key = signer.public_key();
    for message in [&b"c"[..], b"checkpoint", &[0; LONGEST]] {
        let signature = signed(signer, message).await?;
        rule(signer.public_key() == key, "the public key of a signer stays")?;
        key.verify(message, &signature).must(VERIFIES)?;
        let longer = [message, &[0]].concat();
        rule(key.verify(&longer, &signature).is_err(), "a signature is one of its message alone")?;
    }
    let (message, another) = (b"checkpoint", b"checkpoinu");
    let signature = signed(signer, message).await?;
    rule(key.verify(another, &signature).is_err(), "a signature is one of its message alone")?;
    for at in 0..signature.len() {
        for bit in 0..8 {
            let mut altered = signature;
            if let Some(byte) = altered.get_mut(at) {
                *byte ^= 1 << bit;
            }
            rule(key.verify(message, &altered).is_err(), "an altered signature does not verify")?;
        }
    }
    rule(key.verify(message, &[0; 64]).is_err(), "an altered signature does not verify")?;
    at_once(signer).await
}

/// A service may be busy once.
async fn signed(signer: &dyn Signer, message: &[u8]) -> Result<[u8; 64], Violation> {
    match signer.sign(message).await {
        Ok(signature) => Ok(signature),
        Err(_) => signer.sign(message).await.must(SIGNS),
    }
}

async fn at_once(signer: &dyn Signer) -> Result<(), Violation> {
    let messages = (1..=4_u8).map(|number| vec![number; usize::from(number) * 100]).collect::<Vec<_>>();
    let signing = messages.iter().map(|message| -> Work<'_, Result<[u8; 64], SignError>> { signer.sign(message) });
    for (signature, message) in together(signing.collect()).await.into_iter().zip(&messages) {
        let signature = match signature {
            Ok(signature) => signature,
            Err(_) => signer.sign(message).await.must(SIGNS)?,
        };
        let verified = signer.public_key().verify(message, &signature);
        verified.must("what is signed for several at once is signed for each")?;
    }
    Ok(())
}
