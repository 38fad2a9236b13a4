//! What a backend does not do.

use core::fmt;

/// What a validated module has no approved way to do, so that its backend refuses it. The text says what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotApproved {
    /// The cipher of suites `0x02` and `0x12`.
    ChaCha20Poly1305,
    /// A nonce that is made of randomness and message.
    HedgedNonce,
    /// Any other nonce that the module did not draw.
    ChosenNonce,
    /// Sealing a file of format F2, whose chunks count their nonces.
    FileSealing,
    /// A passphrase, which Argon2id turns into a key.
    Passphrase,
}

impl fmt::Display for NotApproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChaCha20Poly1305 => {
                "ChaCha20-Poly1305 is not approved: use an AES-256-GCM suite, and reseal what is under the other one on the ring backend"
            }
            Self::HedgedNonce => "a hedged nonce is not approved: use the sealer without `hedged`, whose nonces the module draws",
            Self::ChosenNonce => "a nonce that the module did not draw is not approved: leave it to the backend, by `Nonce::of`",
            Self::FileSealing => {
                "the counted nonces of a sealed file are not approved: seal files on the ring backend, and open them on either"
            }
            Self::Passphrase => {
                "Argon2id is not approved: protect the keyring by a key file, to which `LocalKeyring::relock` moves it on the ring backend"
            }
        })
    }
}

impl core::error::Error for NotApproved {}

/// The AWS-LC that was linked is not a FIPS build of module version 3: one for the address sanitizer, or one that the build found
/// on the system.
#[cfg(feature = "fips")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FipsUnavailable;

#[cfg(feature = "fips")]
impl fmt::Display for FipsUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the linked AWS-LC is not a FIPS build of module version 3, but one for a sanitizer or one of the system: build with AWS_LC_FIPS_SYS_USE_SYSTEM=0 and without AWS_LC_FIPS_SYS_SYSTEM_DIR",
        )
    }
}

#[cfg(feature = "fips")]
impl core::error::Error for FipsUnavailable {}
