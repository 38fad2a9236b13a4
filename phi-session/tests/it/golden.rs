//! Rows that an earlier version wrote still mean what they meant.

use std::time::Duration;

use phi_session::state::Presence;
use phi_session::{Aal, Denied, EndReason, Policy, SessionError, SqliteSessionStore, Token};
use phi_types::ManualClock;

use crate::support::{START, database, osei, over};

/// The holder of the live row of `golden/v1.sql`, and that of the row that was logged out.
const LIVE: &str = "AdKFaA8uZ6ogunGaBtYDLWgyRaCS2QXrYTo8FtsWVGE";
const GONE: &str = "PDedqwcNSnoRpqPIA8SfhQi5JiFfNIlAf2gc6KVrMI4";

#[tokio::test]
async fn version_1_is_read() {
    let (pool, _folder) = database().await;
    sqlx::raw_sql(include_str!("../golden/v1.sql")).execute(&pool).await.unwrap();
    let clock = ManualClock::at_unix_seconds(START + 60);
    let store = SqliteSessionStore::open(pool).await.unwrap();
    let (sessions, log) = over(store, Policy::default(), clock.clone());

    let live = Token::parse(LIVE).unwrap();
    clock.advance(Duration::from_secs(900) - Duration::from_micros(1));
    let session = sessions.authenticate(&live, Presence::Passive).await.unwrap();
    assert_eq!((session.user(), session.tenant(), session.role()), (&osei(), Some("north"), Some("nurse")));
    assert_eq!((session.grant(), session.aal()), (Some("bg-7"), Some(Aal::Two)));
    assert_eq!(session.auth_events().len(), 2);
    clock.advance(Duration::from_micros(1));
    for (token, reason) in [(LIVE, EndReason::ExpiredIdle), (GONE, EndReason::Logout)] {
        let result = sessions.authenticate(&Token::parse(token).unwrap(), Presence::User).await;
        assert!(matches!(&result, Err(SessionError::Denied(Denied::Ended(why))) if *why == reason), "{result:?}");
    }
    assert_eq!(log.kinds(), ["session.expired_idle"]);
}
