//! Strict mode: whatever an undeclared field holds, it never appears.

use phi_redact::{Redact, RedactPolicy};
use proptest::prelude::*;
use tracing::{error, info, info_span, subscriber::with_default};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::support::{Inner, Notes, Outer, Sink};

/// Letters and digits that occur in no name, label or level of the test.
fn value() -> impl Strategy<Value = String> {
    "[qz][a-z0-9]{3}[qz][ -~]{0,20}[qz]{3}"
}

proptest! {
    #[test]
    fn no_undeclared_value_appears(s in value(), n in 1_000_000_007_i64..i64::MAX, x in any::<f64>()) {
        let notes = Notes::default();
        let sink = Sink::default();
        let json = tracing_subscriber::fmt::layer().json().with_writer(sink.clone());
        let policy = RedactPolicy::strict().safe(["declared"]);
        with_default(Redact::new(Registry::default().with(notes.clone()).with(json), policy), || {
            let outer = Outer(Inner(s.clone()));
            let span = info_span!("span", a = s, b = ?s, later = tracing::field::Empty, declared = 17);
            let _in_span = span.enter();
            span.record("later", n);
            span.record("later", &s);
            info!(c = %s, d = n, e = n as u64, f = i128::from(n), g = n as u128, h = x, i = s.as_bytes(), declared = 18);
            error!(error = &outer as &(dyn std::error::Error + 'static), j = ?Some(&s), k.l = s, "message");
        });
        let seen = notes.take().concat() + &sink.text();
        prop_assert!(!seen.contains(&s) && !seen.contains(&s[..5]) && !seen.contains(&n.to_string()), "{seen}");
        prop_assert!(seen.contains("declared=17") && seen.contains("declared=18") && seen.contains("message"));
        for name in ["a", "b", "later", "c", "d", "e", "f", "g", "h", "i", "error", "j", "k.l"] {
            prop_assert!(seen.contains(&format!(" {name}=[undeclared]")), "{name} in {seen}");
        }
    }
}
