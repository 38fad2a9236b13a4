//! The service against a model of it, under random operations. The model measures time by the monotonic clock, which
//! is what really passed.

use std::collections::BTreeMap;
use std::time::Duration;

use phi_session::state::Presence;
use phi_session::{
    Aal, Denied, Issued, Login, MemorySessionStore, Method, Policy, PublicId, SessionError, SessionStore, Sessions,
    SqliteSessionStore, Token,
};
use phi_types::{Actor, Clock, ManualClock, Timestamp};
use proptest::prelude::*;

use crate::support::{Log, START, database, osei, over};

#[derive(Debug, Clone)]
enum Op {
    Login { replace: Option<usize>, aal: Aal },
    Request { token: usize, presence: Presence },
    StepUp { token: usize, aal: Aal },
    Logout { token: usize },
    Revoke { token: usize },
    RevokeAll,
    Advance(Duration),
    StepClock(i64),
    Sweep,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let aal = || prop_oneof![Just(Aal::One), Just(Aal::Two), Just(Aal::Three)];
    let token = || 0_usize..12;
    let presence = prop_oneof![3 => Just(Presence::User), 1 => Just(Presence::Passive)];
    // Around the coalescing window (1 s), the idle time (60 s) and the absolute time (300 s).
    let advance = prop_oneof![
        0_u64..3_000_000,
        Just(1_000_000),
        59_000_000_u64..61_000_000,
        Just(60_000_000),
        20_000_000_u64..50_000_000,
    ];
    proptest::collection::vec(
        prop_oneof![
            3 => (proptest::option::of(token()), aal()).prop_map(|(replace, aal)| Op::Login { replace, aal }),
            12 => (token(), presence).prop_map(|(token, presence)| Op::Request { token, presence }),
            2 => (token(), aal()).prop_map(|(token, aal)| Op::StepUp { token, aal }),
            1 => token().prop_map(|token| Op::Logout { token }),
            1 => token().prop_map(|token| Op::Revoke { token }),
            1 => Just(Op::RevokeAll),
            10 => advance.prop_map(|micros| Op::Advance(Duration::from_micros(micros))),
            1 => (-400_i64..-1).prop_map(Op::StepClock),
            1 => (1_i64..80).prop_map(Op::StepClock),
            1 => Just(Op::Sweep),
        ],
        1..60,
    )
}

struct Modelled {
    created: Timestamp,
    /// What the store holds.
    written: Timestamp,
    /// What really happened, in monotonic time.
    really_created: Duration,
    really_active: Duration,
    aal: Aal,
    ended: bool,
}

struct Machine {
    sessions: Sessions,
    log: Log,
    clock: ManualClock,
    policy: Policy,
    admin: Actor,
    /// Every token that was ever issued, with its session; the flag says whether it is the session's newest.
    tokens: Vec<(Token, PublicId, bool)>,
    model: BTreeMap<PublicId, Modelled>,
    printed: String,
}

impl Machine {
    fn new(store: impl SessionStore) -> Self {
        let policy =
            Policy::new(Duration::from_secs(60), Duration::from_secs(300)).unwrap().with_max_sessions(3).unwrap();
        let clock = ManualClock::at_unix_seconds(START);
        let (sessions, log) = over(store, policy, clock.clone());
        let admin = Actor::human("it.admin@clinic.example").unwrap();
        let (tokens, model, printed) = (Vec::new(), BTreeMap::new(), String::new());
        Self { sessions, log, clock, policy, admin, tokens, model, printed }
    }

    fn deadline(&self, session: &Modelled) -> Timestamp {
        let idle = session.written.saturating_add(self.policy.idle());
        idle.min(session.created.saturating_add(self.policy.absolute()))
    }

    fn lives(&self, id: PublicId) -> bool {
        let session = &self.model[&id];
        !session.ended && self.sessions.now() < self.deadline(session)
    }

    fn issue(&mut self, issued: Issued) {
        self.printed += &format!("{issued:?}");
        self.tokens.push((issued.token, issued.session.public_id(), true));
    }

    async fn apply(&mut self, op: Op) {
        let pick = |n: usize, tokens: &[_]| (!tokens.is_empty()).then(|| n % tokens.len());
        match op {
            Op::Login { replace, aal } => self.login(replace.and_then(|n| pick(n, &self.tokens)), aal).await,
            Op::Request { token, presence } => {
                if let Some(n) = pick(token, &self.tokens) {
                    self.request(n, presence).await;
                }
            }
            Op::StepUp { token, aal } => {
                if let Some(n) = pick(token, &self.tokens) {
                    self.step_up(n, aal).await;
                }
            }
            Op::Logout { token } => {
                if let Some(n) = pick(token, &self.tokens)
                    && let Some(session) = self.look(n).await
                {
                    self.sessions.logout(&session).await.unwrap();
                    self.model.get_mut(&session.public_id()).unwrap().ended = true;
                }
            }
            Op::Revoke { token } => {
                if let Some(n) = pick(token, &self.tokens) {
                    let id = self.tokens[n].1;
                    self.sessions.revoke(id, &self.admin).await.unwrap();
                    self.model.get_mut(&id).unwrap().ended = true;
                }
            }
            Op::RevokeAll => {
                self.sessions.revoke_user(&osei(), &self.admin).await.unwrap();
                self.model.values_mut().for_each(|session| session.ended = true);
            }
            Op::Advance(by) => self.clock.advance(by),
            Op::StepClock(seconds) => {
                let wall = self.clock.now().as_unix_micros();
                self.clock.set(Timestamp::from_unix_micros(wall + seconds * 1_000_000));
            }
            Op::Sweep => {
                self.sessions.sweep().await.unwrap();
                let dead: Vec<_> = self.model.keys().copied().filter(|id| !self.lives(*id)).collect();
                for id in dead {
                    self.model.get_mut(&id).unwrap().ended = true;
                }
            }
        }
        self.check_list().await;
    }

    async fn login(&mut self, replace: Option<usize>, aal: Aal) {
        let presented = replace.map(|n| &self.tokens[n]);
        let issued = self
            .sessions
            .login(Login::new(osei(), aal, Method::WebAuthn), presented.map(|(token, ..)| token))
            .await
            .unwrap();
        if let Some((_, id, true)) = presented {
            let id = *id;
            self.model.get_mut(&id).unwrap().ended = true;
        }
        let now = self.sessions.now();
        let mut living: Vec<_> =
            self.model.iter().filter(|(id, _)| self.lives(**id)).map(|(id, s)| (s.created, *id)).collect();
        living.sort();
        let excess = (living.len() + 1).saturating_sub(3);
        for (_, id) in &living[..excess] {
            self.model.get_mut(id).unwrap().ended = true;
        }
        let really = self.clock.monotonic();
        let modelled =
            Modelled { created: now, written: now, really_created: really, really_active: really, aal, ended: false };
        self.model.insert(issued.session.public_id(), modelled);
        self.issue(issued);
    }

    async fn request(&mut self, n: usize, presence: Presence) {
        let (token, id, newest) = &self.tokens[n];
        let (id, expected) = (*id, *newest && self.lives(*id));
        let before = self.listed(id).await;
        let result = self.sessions.authenticate(token, presence).await;
        self.printed += &format!("{result:?}");
        assert_eq!(result.is_ok(), expected, "{result:?}");
        match result {
            Ok(session) => {
                let (now, really) = (self.sessions.now(), self.clock.monotonic());
                let (idle, absolute) = (self.policy.idle(), self.policy.absolute());
                let modelled = self.model.get_mut(&id).unwrap();
                assert!(really - modelled.really_active < idle, "I1: never after the idle time");
                assert!(really - modelled.really_created < absolute, "I3: never after the absolute time");
                assert_eq!(session.aal(), Some(modelled.aal), "I8: no level without evidence");
                match presence {
                    Presence::User => {
                        modelled.really_active = really;
                        if now.saturating_since(modelled.written) >= self.policy.coalescing_window() {
                            modelled.written = now;
                        }
                        let early = now.saturating_add(idle).saturating_since(modelled.written.saturating_add(idle));
                        assert!(early < self.policy.coalescing_window(), "early by less than the window");
                    }
                    _ => assert_eq!(self.listed(id).await, before, "I7: a passive request changes nothing"),
                }
                let modelled = &self.model[&id];
                assert_eq!(session.deadline(), self.deadline(modelled));
            }
            Err(SessionError::Denied(_)) => {
                if *newest {
                    self.model.get_mut(&id).unwrap().ended = true;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A session by a passive request, which the model need not hear of.
    async fn look(&self, n: usize) -> Option<phi_session::Session> {
        self.sessions.authenticate(&self.tokens[n].0, Presence::Passive).await.ok()
    }

    async fn step_up(&mut self, n: usize, aal: Aal) {
        let Some(session) = self.look(n).await else { return };
        let issued = self.sessions.step_up(&session, aal, Method::Totp).await.unwrap();
        let again = self.sessions.step_up(&session, Aal::Three, Method::WebAuthn).await;
        assert!(matches!(again, Err(SessionError::Conflict)), "I6: one successor per rotation: {again:?}");
        let (now, really) = (self.sessions.now(), self.clock.monotonic());
        let modelled = self.model.get_mut(&session.public_id()).unwrap();
        (modelled.written, modelled.really_active, modelled.aal) = (now, really, modelled.aal.max(aal));
        self.tokens[n].2 = false;
        self.issue(issued);
    }

    async fn listed(&self, id: PublicId) -> Option<Timestamp> {
        let list = self.sessions.list(&osei()).await.unwrap();
        list.into_iter().find(|info| info.public_id == id).map(|info| info.last_activity)
    }

    async fn check_list(&mut self) {
        let list = self.sessions.list(&osei()).await.unwrap();
        self.printed += &format!("{list:?}");
        assert!(list.len() <= 3, "I5: at most the limit");
        let living: Vec<_> = self.model.keys().copied().filter(|id| self.lives(*id)).collect();
        let mut listed: Vec<_> = list.iter().map(|info| info.public_id).collect();
        listed.sort();
        assert_eq!(listed, living, "a list shows what lives");
    }

    async fn finish(mut self) {
        for n in 0..self.tokens.len() {
            self.request(n, Presence::Passive).await;
        }
        self.clock.advance(self.policy.absolute());
        self.sessions.sweep().await.unwrap();
        self.clock.advance(Duration::from_secs(60));
        self.sessions.sweep().await.unwrap();
        for (token, ..) in &self.tokens {
            let result = self.sessions.authenticate(token, Presence::User).await;
            assert!(matches!(result, Err(SessionError::Denied(Denied::Unknown))), "I4: an end is final: {result:?}");
        }
        let terminal = ["logout", "replaced", "revoked", "evicted", "expired_idle", "expired_absolute"];
        let log = self.log.all();
        for id in self.model.keys() {
            let name = id.to_string();
            let of = |kinds: &[&str]| {
                let fits = |kind: &str| kinds.iter().any(|end| kind.strip_prefix("session.") == Some(end));
                log.iter().filter(|a| a.session.as_deref() == Some(&name) && fits(&a.kind)).count()
            };
            assert_eq!((of(&["login"]), of(&terminal)), (1, 1), "I10: one login and one end in the log");
        }
        self.printed += &format!("{log:?}{:?}", self.sessions);
        for (token, ..) in &self.tokens {
            assert!(!self.printed.contains(token.expose()), "I11: no token in what was printed");
        }
    }
}

fn run(store: impl SessionStore, ops: Vec<Op>) -> impl Future<Output = ()> {
    let mut machine = Machine::new(store);
    async move {
        for op in ops {
            machine.apply(op).await;
            // Ask, so that a step of the clock is seen even when another undoes it.
            let _ = machine.sessions.now();
        }
        machine.finish().await;
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sessions_in_memory_do_what_the_model_does(ops in ops()) {
        block_on(run(MemorySessionStore::new(), ops));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sessions_in_sqlite_do_what_the_model_does(ops in ops()) {
        block_on(async {
            let (pool, _folder) = database().await;
            run(SqliteSessionStore::open(pool).await.unwrap(), ops).await;
        });
    }
}
