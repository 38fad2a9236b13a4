//! The service at its edges: deadlines, clocks, and parts that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phi_session::state::Presence;
use phi_session::{
    Aal, Change, Denied, EndReason, Issued, Login, MemorySessionStore, Method, Policy, PublicId, Rotated, Row,
    Selector, Session, SessionError, SessionStore, Sessions, SqliteSessionStore, Stamp, StoreError, StoreFuture,
    Stored, Swept, Token, TokenHash, Tombstone, Touched,
};
use phi_types::{Actor, Clock, Detail, ManualClock, Outcome, Timestamp};

use crate::support::{Log, START, in_memory, in_sqlite, osei, over};

const MICRO: Duration = Duration::from_micros(1);

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

async fn sign_in(sessions: &Sessions) -> Issued {
    sessions.login(Login::new(osei(), Aal::One, Method::Password), None).await.unwrap()
}

async fn ask(sessions: &Sessions, token: &Token, presence: Presence) -> Result<Session, Denied> {
    match sessions.authenticate(token, presence).await {
        Ok(session) => Ok(session),
        Err(SessionError::Denied(denied)) => Err(denied),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn asvs_7_3_1_idle_exact_boundary() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let token = sign_in(&sessions).await.token;
    clock.advance(minutes(15) - MICRO);
    assert!(ask(&sessions, &token, Presence::Passive).await.is_ok(), "one microsecond before");
    clock.advance(MICRO);
    let ended = Denied::Ended(EndReason::ExpiredIdle);
    for presence in [Presence::User, Presence::Passive, Presence::User] {
        assert_eq!(ask(&sessions, &token, presence).await.unwrap_err(), ended, "at the deadline, for ever");
    }
    assert_eq!(log.kinds(), ["session.login", "session.expired_idle"], "reported once");
    let deadline = Detail::Time(Timestamp::from_unix_seconds(START + 900));
    assert_eq!(log.all()[1].detail("deadline"), Some(&deadline));
    assert_eq!(log.all()[1].actor, Some(osei()));
}

#[tokio::test]
async fn asvs_7_3_2_absolute_not_extended_by_activity() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let mut token = sign_in(&sessions).await.token;
    for n in 1..=72 {
        let session = ask(&sessions, &token, Presence::User).await.unwrap();
        assert_eq!(session.absolute_left(), minutes(720 - 10 * (n - 1)));
        if n % 10 == 0 {
            token = sessions.step_up(&session, Aal::Two, Method::Totp).await.unwrap().token;
        }
        clock.advance(minutes(10) - if n == 72 { MICRO } else { Duration::ZERO });
    }
    assert!(ask(&sessions, &token, Presence::User).await.is_ok());
    clock.advance(MICRO);
    assert_eq!(ask(&sessions, &token, Presence::User).await.unwrap_err(), Denied::Ended(EndReason::ExpiredAbsolute));
    assert_eq!(log.kinds().last().unwrap(), "session.expired_absolute");
}

#[tokio::test]
async fn activity_is_written_once_a_window_and_the_logoff_is_never_late() {
    let (sessions, _, clock) = in_memory(Policy::default());
    let token = sign_in(&sessions).await.token;
    let second = Duration::from_secs(1);
    clock.advance(15 * second - MICRO);
    let session = ask(&sessions, &token, Presence::User).await.unwrap();
    assert_eq!(session.deadline(), Timestamp::from_unix_seconds(START + 900), "not yet worth a write");
    clock.advance(MICRO);
    let session = ask(&sessions, &token, Presence::User).await.unwrap();
    assert_eq!(session.deadline(), Timestamp::from_unix_seconds(START + 915));
    assert_eq!(session.idle_left(), minutes(15));
    clock.advance(minutes(13) - MICRO);
    assert!(!ask(&sessions, &token, Presence::Passive).await.unwrap().warns());
    clock.advance(MICRO);
    assert!(ask(&sessions, &token, Presence::Passive).await.unwrap().warns(), "120 seconds before the end");
}

#[tokio::test]
async fn a_clock_that_steps_back_extends_nothing() {
    let (sessions, _, clock) = in_memory(Policy::default());
    let token = sign_in(&sessions).await.token;
    clock.advance(minutes(10));
    clock.set(Timestamp::from_unix_seconds(START - 86_400));
    clock.advance(minutes(5) - MICRO);
    assert!(ask(&sessions, &token, Presence::Passive).await.is_ok());
    clock.advance(MICRO);
    assert!(ask(&sessions, &token, Presence::Passive).await.is_err());
}

#[tokio::test]
async fn a_row_from_the_future_is_refused_and_reported() {
    let (_, _, clock, pool, _folder) = in_sqlite(Policy::default()).await;
    let store = || SqliteSessionStore::open(pool.clone());
    let ahead = ManualClock::at_unix_seconds(START + 61);
    let token = sign_in(&over(store().await.unwrap(), Policy::default(), ahead).0).await.token;
    let (behind, log) = over(store().await.unwrap(), Policy::default(), clock.clone());
    assert_eq!(ask(&behind, &token, Presence::User).await.unwrap_err(), Denied::ClockFault);
    assert_eq!(log.kinds(), ["session.clock_fault"]);
    clock.advance(Duration::from_secs(1));
    assert!(ask(&behind, &token, Presence::User).await.is_ok(), "a minute of skew is tolerated");
}

#[tokio::test]
async fn a_stricter_policy_counts_for_sessions_that_exist() {
    let (relaxed, _, clock, pool, _folder) = in_sqlite(Policy::nist_aal2()).await;
    let token = sign_in(&relaxed).await.token;
    clock.advance(minutes(15));
    let (strict, _) = over(SqliteSessionStore::open(pool).await.unwrap(), Policy::nist_aal3(), clock);
    assert_eq!(ask(&strict, &token, Presence::User).await.unwrap_err(), Denied::Ended(EndReason::ExpiredIdle));
    assert!(ask(&relaxed, &token, Presence::User).await.is_err(), "an end is an end everywhere");
}

#[tokio::test]
async fn asvs_7_2_4_every_auth_event_rotates_and_kills_old() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let first = sign_in(&sessions).await;
    clock.advance(minutes(1));
    let second = sessions.step_up(&first.session, Aal::Two, Method::Totp).await.unwrap();
    let role = Change::Role(Some("physician".into()));
    let third = sessions.change(&second.session, role).await.unwrap();
    let fourth = sessions.change(&third.session, Change::Grant(Some("bg-1".into()))).await.unwrap();
    for dead in [&first, &second, &third] {
        assert_eq!(ask(&sessions, &dead.token, Presence::User).await.unwrap_err(), Denied::Unknown);
        assert!(matches!(
            sessions.step_up(&dead.session, Aal::Three, Method::WebAuthn).await,
            Err(SessionError::Conflict)
        ));
    }
    let session = ask(&sessions, &fourth.token, Presence::User).await.unwrap();
    assert_eq!(session.public_id(), first.session.public_id());
    assert_eq!((session.role(), session.grant(), session.aal()), (Some("physician"), Some("bg-1"), Some(Aal::Two)));
    let fifth = sessions.login(Login::new(osei(), Aal::One, Method::Password), Some(&fourth.token)).await.unwrap();
    assert_eq!(ask(&sessions, &fourth.token, Presence::User).await.unwrap_err(), Denied::Ended(EndReason::Replaced));
    assert_ne!(fifth.session.public_id(), session.public_id());
    let kinds = log.kinds();
    let expected = ["login", "step_up", "change", "change", "unknown_token", "replaced", "login"];
    assert_eq!(kinds, expected.map(|kind| format!("session.{kind}")));
}

#[tokio::test]
async fn asvs_7_5_3_stepup_max_age() {
    let (sessions, _, clock) = in_memory(Policy::default());
    let token = sign_in(&sessions).await.token;
    let session = ask(&sessions, &token, Presence::User).await.unwrap();
    assert_eq!(session.require(Aal::Two).unwrap_err().to_string(), "this needs an authentication at AAL2");
    let token = sessions.step_up(&session, Aal::Two, Method::Totp).await.unwrap().token;
    clock.advance(minutes(5) - MICRO);
    let session = ask(&sessions, &token, Presence::User).await.unwrap();
    session.require_fresh(Aal::Two, minutes(5)).unwrap();
    session.require(Aal::One).unwrap();
    assert!(session.require(Aal::Three).is_err());
    clock.advance(MICRO);
    let session = ask(&sessions, &token, Presence::User).await.unwrap();
    assert!(session.require_fresh(Aal::Two, minutes(5)).is_err());
    session.require(Aal::Two).unwrap();
}

#[tokio::test]
async fn a_level_that_the_methods_cannot_prove_is_refused() {
    let (sessions, log, _) = in_memory(Policy::default());
    let login = sessions.login(Login::new(osei(), Aal::Two, Method::Password), None).await;
    assert!(matches!(login, Err(SessionError::Unproven)), "{login:?}");
    let issued = sign_in(&sessions).await;
    for (aal, method) in [(Aal::Two, Method::Password), (Aal::Three, Method::Totp)] {
        assert!(matches!(sessions.step_up(&issued.session, aal, method).await, Err(SessionError::Unproven)));
    }
    assert!(ask(&sessions, &issued.token, Presence::User).await.is_ok(), "and the session stays as it was");
    assert_eq!(log.kinds(), ["session.login"]);
}

#[tokio::test]
async fn the_newest_authentications_are_kept() {
    let (sessions, _, _) = in_memory(Policy::default());
    let mut issued = sign_in(&sessions).await;
    for _ in 0..20 {
        issued = sessions.step_up(&issued.session, Aal::Two, Method::Totp).await.unwrap();
    }
    let events = issued.session.auth_events();
    assert_eq!(events.len(), 16);
    assert_eq!(events.iter().filter(|event| event.method == Method::Password).count(), 1, "no factor is forgotten");
}

#[tokio::test]
async fn asvs_7_4_2_revoke_user_and_7_4_3_revoke_others() {
    let (sessions, log, _) = in_memory(Policy::default());
    let wu = Actor::human("dr.wu@clinic.example").unwrap();
    let admin = Actor::human("it.admin@clinic.example").unwrap();
    let mine = [sign_in(&sessions).await, sign_in(&sessions).await, sign_in(&sessions).await];
    let other = sessions.login(Login::new(wu.clone(), Aal::One, Method::Password), None).await.unwrap();
    assert_eq!(sessions.revoke_others(&mine[1].session).await.unwrap(), 2);
    assert_eq!(sessions.list(&osei()).await.unwrap().len(), 1);
    assert_eq!(sessions.revoke_user(&osei(), &admin).await.unwrap(), 1);
    assert_eq!(ask(&sessions, &mine[1].token, Presence::User).await.unwrap_err(), Denied::Ended(EndReason::Revoked));
    assert!(ask(&sessions, &other.token, Presence::User).await.is_ok());
    let last = log.all().pop().unwrap();
    assert_eq!((last.kind.as_ref(), last.actor), ("session.revoked", Some(admin.clone())));
    assert!(!sessions.revoke(mine[1].session.public_id(), &admin).await.unwrap(), "it had ended");
    assert_eq!(sessions.list_all().await.unwrap().len(), 1);
    assert_eq!(sessions.revoke_all(&admin).await.unwrap(), 1);
    assert!(ask(&sessions, &other.token, Presence::User).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen_and_an_end_happens_all_the_same() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let live = sign_in(&sessions).await;
    log.refuse(true);
    let login = sessions.login(Login::new(osei(), Aal::One, Method::Password), None).await;
    assert!(matches!(login, Err(SessionError::Record(_))), "{login:?}");
    assert_eq!(sessions.list_all().await.unwrap().len(), 1, "no session was left behind");
    let step_up = sessions.step_up(&live.session, Aal::Two, Method::Totp).await;
    assert!(matches!(step_up, Err(SessionError::Record(_))));
    assert!(sessions.list_all().await.unwrap().is_empty(), "neither token opens it");
    log.refuse(false);
    let live = sign_in(&sessions).await;
    log.refuse(true);
    assert!(matches!(sessions.logout(&live.session).await, Err(SessionError::Record(_))));
    log.refuse(false);
    assert_eq!(ask(&sessions, &live.token, Presence::User).await.unwrap_err(), Denied::Ended(EndReason::Logout));
    clock.advance(minutes(1));
    assert_eq!(sessions.sweep().await.unwrap(), 3, "the lost reports are made up for");
    assert_eq!(sessions.sweep().await.unwrap(), 0);
    let ends: Vec<_> = log.kinds().into_iter().filter(|kind| kind != "session.login").collect();
    assert_eq!(ends.iter().filter(|kind| *kind == "session.logout").count(), 1);
    assert_eq!(ends.iter().filter(|kind| *kind == "session.unrecorded").count(), 2);
}

#[tokio::test]
async fn a_late_report_says_when_the_session_ended() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let live = sign_in(&sessions).await;
    clock.advance(minutes(1));
    log.refuse(true);
    sessions.logout(&live.session).await.unwrap_err();
    log.refuse(false);
    clock.advance(minutes(30));
    sessions.sweep().await.unwrap();
    let late = log.all().pop().unwrap();
    assert_eq!((late.kind.as_ref(), late.at), ("session.logout", Timestamp::from_unix_seconds(START + 31 * 60)));
    assert_eq!(late.detail("ended"), Some(&Detail::Time(Timestamp::from_unix_seconds(START + 60))));
}

#[tokio::test]
async fn an_expiry_that_cannot_be_recorded_is_an_error_first_and_recorded_later() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let token = sign_in(&sessions).await.token;
    clock.advance(minutes(15));
    log.refuse(true);
    assert!(matches!(sessions.authenticate(&token, Presence::User).await, Err(SessionError::Record(_))));
    log.refuse(false);
    assert_eq!(ask(&sessions, &token, Presence::User).await.unwrap_err(), Denied::Ended(EndReason::ExpiredIdle));
    clock.advance(minutes(1));
    sessions.sweep().await.unwrap();
    assert_eq!(log.kinds(), ["session.login", "session.expired_idle"]);
}

#[tokio::test]
async fn unknown_tokens_are_counted_and_reported_once_a_minute() {
    let (sessions, log, clock) = in_memory(Policy::default());
    for _ in 0..1_000 {
        let guess = Token::generate().unwrap();
        assert_eq!(ask(&sessions, &guess, Presence::User).await.unwrap_err(), Denied::Unknown);
    }
    clock.advance(minutes(1));
    ask(&sessions, &Token::generate().unwrap(), Presence::User).await.unwrap_err();
    let log = log.all();
    let counts: Vec<_> = log.iter().map(|activity| (activity.outcome, activity.detail("count").cloned())).collect();
    assert_eq!(
        counts,
        [(Outcome::Refused, Some(Detail::Count(1))), (Outcome::Refused, Some(Detail::Count(1_000)))],
        "nothing is lost"
    );
}

#[tokio::test]
async fn another_token_key_ends_every_session() {
    let (sessions, _, clock, pool, _folder) = in_sqlite(Policy::default()).await;
    let token = sign_in(&sessions).await.token;
    let other = Sessions::builder(SqliteSessionStore::open(pool).await.unwrap())
        .recorder(Log::default())
        .clock(clock)
        .token_key(phi_session::TokenKey::from_bytes(zeroize::Zeroizing::new([8; 32])).unwrap())
        .build();
    assert_eq!(ask(&other, &token, Presence::User).await.unwrap_err(), Denied::Unknown);
    assert!(other.list_all().await.unwrap().is_empty(), "and no row of the old key is believed");
    assert!(ask(&sessions, &token, Presence::User).await.is_ok());
}

/// A memory store behind a cable that can be pulled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flaky {
    inner: Arc<MemorySessionStore>,
    pub(crate) down: Arc<AtomicBool>,
    /// Whether a logout comes right after every load, as fast as another request can be.
    overtaken: Arc<AtomicBool>,
}

macro_rules! through {
    ($self:ident . $method:ident ( $($argument:expr),* )) => {
        if $self.down.load(Ordering::SeqCst) {
            Box::pin(async { Err(StoreError::unavailable("the cable is out")) })
        } else {
            $self.inner.$method($($argument),*)
        }
    };
}

impl SessionStore for Flaky {
    fn load(&self, hash: TokenHash) -> StoreFuture<'_, Option<Stored>> {
        if self.overtaken.load(Ordering::SeqCst) {
            return Box::pin(async move {
                let loaded = self.inner.load(hash).await;
                let tombstone = Tombstone::new(EndReason::Logout, Timestamp::from_unix_seconds(START));
                self.inner.end(Selector::All, tombstone).await?;
                loaded
            });
        }
        through!(self.load(hash))
    }
    fn create(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: Tombstone,
    ) -> StoreFuture<'_, Vec<Stored>> {
        through!(self.create(row, stamp, now, limit, evicted))
    }
    fn touch(&self, hash: TokenHash, version: u64, stamp: Stamp, now: Timestamp) -> StoreFuture<'_, Touched> {
        through!(self.touch(hash, version, stamp, now))
    }
    fn rotate(
        &self,
        old: TokenHash,
        version: u64,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Rotated> {
        through!(self.rotate(old, version, row, stamp, now))
    }
    fn end(&self, selector: Selector, tombstone: Tombstone) -> StoreFuture<'_, Vec<Stored>> {
        through!(self.end(selector, tombstone))
    }
    fn reported(&self, id: PublicId) -> StoreFuture<'_, ()> {
        through!(self.reported(id))
    }
    fn list<'a>(&'a self, selector: &'a Selector) -> StoreFuture<'a, Vec<Stored>> {
        through!(self.list(selector))
    }
    fn sweep(&self, now: Timestamp, batch: u32) -> StoreFuture<'_, Swept> {
        through!(self.sweep(now, batch))
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_an_error_never_a_session_and_never_none() {
    let (store, clock) = (Flaky::default(), ManualClock::at_unix_seconds(START));
    let (sessions, _) = over(store.clone(), Policy::default(), clock.clone());
    let issued = sign_in(&sessions).await;
    store.down.store(true, Ordering::SeqCst);
    let results = [
        sessions.authenticate(&issued.token, Presence::User).await.err(),
        sessions.recheck(&issued.session).await.err(),
        sessions.login(Login::new(osei(), Aal::One, Method::Password), None).await.err(),
        sessions.login(Login::new(osei(), Aal::One, Method::Password), Some(&issued.token)).await.err(),
        sessions.step_up(&issued.session, Aal::Two, Method::Totp).await.err(),
        sessions.logout(&issued.session).await.err(),
        sessions.list_all().await.err(),
        sessions.sweep().await.err(),
    ];
    for result in results {
        let error = result.unwrap();
        assert!(matches!(error, SessionError::Store(StoreError::Unavailable(_))), "{error:?}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the cable is out");
    }
    store.down.store(false, Ordering::SeqCst);
    assert!(ask(&sessions, &issued.token, Presence::User).await.is_ok());
    assert_eq!(clock.now(), Timestamp::from_unix_seconds(START));
}

#[tokio::test]
async fn a_request_that_a_logout_overtakes_does_not_go_on() {
    let (store, clock) = (Flaky::default(), ManualClock::at_unix_seconds(START));
    let (sessions, _) = over(store.clone(), Policy::default(), clock.clone());
    let issued = sign_in(&sessions).await;
    clock.advance(Duration::from_secs(20));
    store.overtaken.store(true, Ordering::SeqCst);
    assert_eq!(ask(&sessions, &issued.token, Presence::User).await.unwrap_err(), Denied::Unknown);
}

/// A logout while requests of the same session are under way: none of them brings it back, whatever they got.
async fn logout_against_requests_in_flight(sessions: Sessions, clock: ManualClock, log: Log) {
    for _ in 0..40 {
        let issued = sign_in(&sessions).await;
        let (id, token) = (issued.session.public_id(), Arc::new(issued.token));
        clock.advance(Duration::from_secs(20));
        let barrier = Arc::new(tokio::sync::Barrier::new(4));
        let (s, b, t) = (sessions.clone(), Arc::clone(&barrier), Arc::clone(&token));
        let reader = tokio::spawn(async move {
            b.wait().await;
            s.authenticate(&t, Presence::User).await.map(|_| None)
        });
        let (s, b, session) = (sessions.clone(), Arc::clone(&barrier), issued.session.clone());
        let stepper = tokio::spawn(async move {
            b.wait().await;
            s.step_up(&session, Aal::Two, Method::Totp).await.map(|issued| Some(issued.token))
        });
        let (s, b, session) = (sessions.clone(), Arc::clone(&barrier), issued.session.clone());
        let leaver = tokio::spawn(async move {
            b.wait().await;
            s.logout(&session).await.map(|()| None)
        });
        barrier.wait().await;
        let results = [reader.await.unwrap(), stepper.await.unwrap(), leaver.await.unwrap()];
        assert!(results[2].is_ok(), "{results:?}");
        let newer = results.into_iter().filter_map(|result| result.ok().flatten());
        for token in newer.chain(Arc::into_inner(token)) {
            assert!(ask(&sessions, &token, Presence::User).await.is_err(), "it came back");
        }
        let ends = log.all().iter().filter(|a| a.session == Some(id.to_string()) && a.kind == "session.logout").count();
        assert_eq!(ends, 1, "one logout in the log");
    }
    assert!(sessions.list_all().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asvs_7_4_1_no_interleaving_resurrects_in_memory() {
    let (sessions, log, clock) = in_memory(Policy::default());
    logout_against_requests_in_flight(sessions, clock, log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asvs_7_4_1_no_interleaving_resurrects_in_sqlite() {
    let (sessions, log, clock, _pool, _folder) = in_sqlite(Policy::default()).await;
    logout_against_requests_in_flight(sessions, clock, log).await;
}
