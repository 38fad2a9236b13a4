//! Padding that hides how long a value is.

/// To which length a plaintext is padded before it is sealed, so that a stored value does not show its own.
///
/// A value tells the length that it was padded to, and nothing else of its length; what that gives away depends on the
/// policy. Values that were sealed with any policy, or none, are opened whatever is set.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{Context, Padding, Sealer};
///
/// let sealer = Sealer::builder(keys).padding(Padding::multiple_of(64)).build();
/// let sealer = sealer.for_scope(&Scope::group("ward 7")).await?;
/// let place = Context::new("Bed", "diagnosis").record_id("12");
/// let (short, long) = (sealer.seal("flu", &place)?, sealer.seal("pancreatitis, acute", &place)?);
/// assert_eq!(short.as_bytes().len(), long.as_bytes().len());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding(Policy);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    MultipleOf(usize),
    Padme,
}

/// The shortest that Padmé pads to: below it the lengths that it keeps apart are too close to hide anything.
const LEAST: usize = 32;

impl Padding {
    /// Pads to the next multiple of so many bytes, from 2 to 1 MiB; other numbers are taken as the nearest of these. One
    /// byte marks the end of the plaintext, so that a plaintext of exactly a multiple takes the next.
    ///
    /// A value shows in which of these steps its length lies. Choose a step that nearly all values of the field fit into:
    /// those that do not stand out.
    #[must_use]
    pub const fn multiple_of(bytes: u32) -> Self {
        Self(Policy::MultipleOf(match bytes {
            ..2 => 2,
            // At most 2^20, so it fits every length of memory.
            2..=0x10_0000 => bytes as usize,
            0x10_0001.. => 0x10_0000,
        }))
    }

    /// Pads to the next length that has few significant bits, at least to 32 bytes: the rule of Padmé (Nikitin and others,
    /// "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019). For texts of any length.
    ///
    /// A value of up to 64 MiB shows one of fewer than 500 lengths, and is at most 12 % longer. Short values are hidden least: for a
    /// field of short values, [`multiple_of`](Self::multiple_of) hides more.
    #[must_use]
    pub const fn padme() -> Self {
        Self(Policy::Padme)
    }

    /// Bytes of padding for a plaintext of `length` bytes, at most 64 MiB.
    pub(super) const fn of(self, length: usize) -> usize {
        let marked = length.saturating_add(1);
        let padded = match self.0 {
            Policy::MultipleOf(step) => marked.next_multiple_of(step),
            Policy::Padme if marked <= LEAST => LEAST,
            Policy::Padme => {
                let exponent = marked.ilog2();
                // Above 32 the exponent is at least 5, so its logarithm exists and is below it.
                let free = exponent - (exponent.ilog2() + 1);
                marked.next_multiple_of(1 << free)
            }
        };
        padded - length
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn multiples_are_the_next_that_leave_room_for_the_mark() {
        let padded = |step, length| length + Padding::multiple_of(step).of(length);
        for (step, length, expected) in
            [(64, 0, 64), (64, 63, 64), (64, 64, 128), (0, 0, 2), (1, 1, 2), (u32::MAX, 5, 1 << 20)]
        {
            assert_eq!(padded(step, length), expected, "{step} {length}");
        }
    }

    #[test]
    fn padme_adds_at_most_12_percent_and_leaves_few_lengths() {
        let padded = |length: usize| length + Padding::padme().of(length);
        assert_eq!([0, 31, 32, 33, 64, 1000].map(padded), [32, 32, 36, 36, 72, 1024]);
        let mut lengths = BTreeSet::new();
        // Every length up to 64 KiB, and both sides of every length that is padded to from there on.
        let mut length = 0;
        while length <= 64 << 20 {
            let to = padded(length);
            assert!(to > length && (length < 32 || (to - length - 1) * 100 <= length * 12), "{length} {to}");
            assert_eq!(padded(to - 1), to, "the longest that is padded to {to}");
            lengths.insert(to);
            length = if length < 64 << 10 { length + 1 } else { to };
        }
        assert!((400..500).contains(&lengths.len()), "{}", lengths.len());
    }
}
