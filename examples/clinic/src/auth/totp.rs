//! One-time codes (RFC 6238): SHA-1, six digits, thirty seconds, as every authenticator app knows them.

use phi_types::Timestamp;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::failure::{Doing, Failure};
use crate::random;

/// Length of a step in seconds.
const STEP: u64 = 30;

/// The secret that a person's authenticator shares with the clinic. Has no `Debug`.
pub(crate) struct TotpSecret(Totp);

impl TotpSecret {
    pub(crate) fn random() -> Result<Self, Failure> {
        Self::from_bytes(&*Zeroizing::new(random::bytes::<20>()?))
    }

    /// From stored bytes, at least 16 of them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Failure> {
        let secret = Secret::new(bytes.into());
        // One step early or late, for clocks that differ and for people who type slowly.
        let totp = Builder::new().with_secret(secret).with_skew(1).with_step_duration(STEP).build();
        totp.map(Self).doing("reading a one-time code secret")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.secret().as_bytes()
    }

    /// What the owner types into an authenticator once.
    pub(crate) fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.secret().to_base32())
    }

    /// The code that an authenticator shows at this time.
    pub(crate) fn code(&self, at: Timestamp) -> String {
        self.0.generate(seconds(at)).to_string()
    }

    /// The step that a code belongs to, when it is one of the three around `at`. The caller accepts a step only if it is
    /// later than the last accepted one, so that a code that was seen cannot be used again.
    pub(crate) fn step_of(&self, code: &str, at: Timestamp) -> Option<i64> {
        let code: String = code.chars().filter(|digit| !digit.is_whitespace()).collect();
        if code.len() != 6 || !code.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        i64::try_from(self.0.check(&code, seconds(at))?).ok()
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_unix_seconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, the last six of eight digits.
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(secret.code(Timestamp::from_unix_seconds(time)), code);
        }
    }

    #[test]
    fn a_code_counts_one_step_early_and_late_and_no_further() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        let code = secret.code(Timestamp::from_unix_seconds(3_000));
        for (at, step) in [(2_969, None), (2_970, Some(100)), (3_029, Some(100)), (3_059, Some(100)), (3_060, None)] {
            assert_eq!(secret.step_of(&code, Timestamp::from_unix_seconds(at)), step, "{at}");
        }
        let now = Timestamp::from_unix_seconds(3_000);
        assert_eq!(secret.step_of(&format!("{} {}", &code[..3], &code[3..]), now), Some(100));
        for bad in ["", "12345", "1234567", "abcdef", "+12345"] {
            assert_eq!(secret.step_of(bad, now), None, "{bad}");
        }
    }
}
