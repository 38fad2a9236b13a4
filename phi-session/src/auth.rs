//! How a person proved who they are.
//!
//! ```
//! use phi_session::{Aal, AuthEvent, Method};
//! use phi_types::Timestamp;
//!
//! let event = AuthEvent::new(Aal::Two, Method::Totp, Timestamp::UNIX_EPOCH);
//! assert!(event.aal > Aal::One);
//! assert_eq!(event.method.amr(), "otp");
//! ```

use core::fmt;

use phi_types::Timestamp;

/// Authenticator assurance level, NIST SP 800-63B-4 section 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aal {
    /// One factor, such as a password.
    One,
    /// Two different factors, such as a password and a one-time code.
    Two,
    /// Two factors, one of them a phishing-resistant hardware-bound key.
    Three,
}

impl Aal {
    /// Every level, in rising order.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// 1, 2 or 3.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// The reverse of [`level`](Self::level).
    #[must_use]
    pub fn from_level(level: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|aal| aal.level() == level)
    }
}

impl fmt::Display for Aal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AAL{}", self.level())
    }
}

/// The authenticator that was used. The application verifies it; this crate records that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// A memorised secret.
    Password,
    /// A time-based one-time code (RFC 6238).
    Totp,
    /// A public-key credential (WebAuthn).
    WebAuthn,
    /// A client certificate or smart card.
    Certificate,
    /// An identity provider's assertion.
    Federated,
    /// A printed recovery code.
    RecoveryCode,
}

impl Method {
    /// Every method, in the order of their codes.
    pub const ALL: [Self; 6] =
        [Self::Password, Self::Totp, Self::WebAuthn, Self::Certificate, Self::Federated, Self::RecoveryCode];

    /// The byte that a stored row holds; frozen.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::Totp => 2,
            Self::WebAuthn => 3,
            Self::Certificate => 4,
            Self::Federated => 5,
            Self::RecoveryCode => 6,
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.code() == code)
    }

    /// The authentication method reference, from RFC 8176 where that has one.
    #[must_use]
    pub const fn amr(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::Totp => "otp",
            Self::WebAuthn => "pop",
            Self::Certificate => "sc",
            Self::Federated => "fed",
            Self::RecoveryCode => "rec",
        }
    }
}

/// One successful authentication within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AuthEvent {
    /// The level that the session had proved after this event.
    pub aal: Aal,
    /// What was used.
    pub method: Method,
    /// When it succeeded.
    pub at: Timestamp,
}

impl AuthEvent {
    /// Notes one more event; when there are too many, the oldest whose method was used again goes, so that no factor is
    /// forgotten.
    pub(crate) fn add(events: &mut Vec<Self>, event: Self) {
        events.push(event);
        if events.len() > Self::MAX {
            // There are fewer methods than events, so one of them comes twice.
            let again = |(n, old): (usize, &Self)| events.iter().skip(n + 1).any(|new| new.method == old.method);
            let oldest = events.iter().enumerate().position(again).unwrap_or(0);
            events.remove(oldest);
        }
    }

    /// Whether these events can have proved this level (NIST SP 800-63B-4 section 2): a second factor of another kind
    /// than the first, or an authenticator that brings two of its own.
    pub(crate) fn prove(events: &[Self], aal: Aal) -> bool {
        let used = |methods: &[Method]| events.iter().any(|event| methods.contains(&event.method));
        let strong = used(&[Method::WebAuthn, Method::Certificate, Method::Federated]);
        match aal {
            Aal::One => !events.is_empty(),
            Aal::Two => strong || (used(&[Method::Password]) && used(&[Method::Totp, Method::RecoveryCode])),
            Aal::Three => strong,
        }
    }

    /// Bytes of one event in a stored row: level, method code, microseconds since the Unix epoch (big-endian).
    const LEN: usize = 10;
    /// Events that a row keeps. The oldest are dropped first: they are the first to be too old to matter.
    pub const MAX: usize = 16;

    /// An authentication that succeeded at `at`.
    #[must_use]
    pub const fn new(aal: Aal, method: Method, at: Timestamp) -> Self {
        Self { aal, method, at }
    }

    /// The column form of a session's events: 10 bytes each, oldest first.
    #[must_use]
    pub fn encode(events: &[Self]) -> Vec<u8> {
        let mut out = Vec::with_capacity(events.len() * Self::LEN);
        for event in events {
            out.extend_from_slice(&[event.aal.level(), event.method.code()]);
            out.extend_from_slice(&event.at.as_unix_micros().to_be_bytes());
        }
        out
    }

    /// The reverse of [`encode`](Self::encode); `None` for anything that `encode` cannot have written.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Vec<Self>> {
        let (chunks, rest) = bytes.as_chunks::<{ Self::LEN }>();
        if !rest.is_empty() || chunks.len() > Self::MAX {
            return None;
        }
        chunks
            .iter()
            .map(|[level, method, at @ ..]| {
                let micros = i64::from_be_bytes(*at);
                let at = Timestamp::from_unix_micros(micros);
                let event = Self::new(Aal::from_level(*level)?, Method::from_code(*method)?, at);
                (at.as_unix_micros() == micros).then_some(event)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_needs_its_factors() {
        use Method::{Certificate, Federated, Password, RecoveryCode, Totp, WebAuthn};

        for (methods, highest) in [
            (&[][..], None),
            (&[Password], Some(Aal::One)),
            (&[Totp], Some(Aal::One)),
            (&[Totp, RecoveryCode], Some(Aal::One)),
            (&[Password, Password], Some(Aal::One)),
            (&[Password, Totp], Some(Aal::Two)),
            (&[RecoveryCode, Password], Some(Aal::Two)),
            (&[WebAuthn], Some(Aal::Three)),
            (&[Password, Certificate], Some(Aal::Three)),
            (&[Federated], Some(Aal::Three)),
        ] {
            let events: Vec<_> =
                methods.iter().map(|method| AuthEvent::new(Aal::One, *method, Timestamp::UNIX_EPOCH)).collect();
            let proved = Aal::ALL.into_iter().filter(|aal| AuthEvent::prove(&events, *aal)).max();
            assert_eq!(proved, highest, "{methods:?}");
        }
    }

    #[test]
    fn events_survive_their_column_form_and_nothing_else_is_read() {
        let events: Vec<_> = Method::ALL
            .into_iter()
            .zip(Aal::ALL.into_iter().cycle())
            .map(|(method, aal)| AuthEvent::new(aal, method, Timestamp::from_unix_micros(-7)))
            .collect();
        let bytes = AuthEvent::encode(&events);
        assert_eq!(AuthEvent::decode(&bytes), Some(events));
        assert_eq!(AuthEvent::decode(&bytes[1..]), None);
        assert_eq!(AuthEvent::decode(&[0; 10]), None);
        assert_eq!(AuthEvent::decode(&[1, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(
            AuthEvent::decode(&bytes[..10].repeat(AuthEvent::MAX)).map(|events| events.len()),
            Some(AuthEvent::MAX)
        );
        assert_eq!(AuthEvent::decode(&bytes[..10].repeat(AuthEvent::MAX + 1)), None);
    }
}
