//! A log in a temporary folder, and hands in its database.

use std::path::PathBuf;

use phi_audit::{AuditLog, AuditLogBuilder, Error, Report, SqliteAuditStore, VerifierKey, verify_store};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, PublicKey, SignError, Signer, Signing};
use phi_types::{Action, Activity, Actor, ManualClock, Outcome, Purpose, Resource, SubjectId, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "clinic.example/audit";

pub(crate) struct Clinic {
    pub(crate) folder: TempDir,
    pub(crate) keys: Keys,
    pub(crate) pool: SqlitePool,
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys =
            Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
        let pool = connect(&folder.path().join("clinic.db")).await;
        Self { folder, keys, pool }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("clinic.db")
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.folder.path().join("audit.mark")
    }

    pub(crate) fn builder(&self) -> AuditLogBuilder {
        AuditLog::builder(SqliteAuditStore::new(self.pool.clone()))
            .keys(self.keys.clone())
            .origin(ORIGIN)
            .high_water_mark(self.mark())
            .clock(ManualClock::at_unix_seconds(1_767_225_600))
    }

    pub(crate) async fn try_open(&self) -> Result<AuditLog, Error> {
        self.builder().open().await
    }

    pub(crate) async fn open(&self) -> AuditLog {
        self.try_open().await.unwrap()
    }

    /// A log with `count` signed read events after its own opening events, in three checkpoints.
    pub(crate) async fn filled(count: u64) -> (Self, VerifierKey) {
        Self::filled_and_signed(count, None::<P256>).await
    }

    /// The same, under another key than that of the audit domain key.
    pub(crate) async fn filled_and_signed(count: u64, signer: Option<impl Signer>) -> (Self, VerifierKey) {
        let clinic = Self::new().await;
        let log = match signer {
            Some(signer) => clinic.builder().signer(signer).open().await.unwrap(),
            None => clinic.open().await,
        };
        let recorder = log.recorder();
        for number in 0..count {
            recorder.record(read(number)).await.unwrap();
            if number == count / 3 || number == count * 2 / 3 {
                log.checkpoint().await.unwrap();
            }
        }
        log.checkpoint().await.unwrap();
        let key = log.verifier_key().clone();
        (clinic, key)
    }

    pub(crate) async fn run(&self, sql: &str) -> u64 {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&self.pool).await.unwrap().rows_affected()
    }

    pub(crate) async fn verify(&self, key: &VerifierKey) -> Report {
        verify_store(&SqliteAuditStore::new(self.pool.clone()), key, None, &mut |_, _| {}).await.unwrap()
    }
}

pub(crate) async fn connect(path: &std::path::Path) -> SqlitePool {
    crate::component::used("sqlite");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    SqlitePool::connect_with(options).await.unwrap()
}

pub(crate) fn subject(number: u64) -> SubjectId {
    SubjectId::new(format!("patient-{}", number % 7)).unwrap()
}

pub(crate) fn read(number: u64) -> Activity {
    let at = Timestamp::from_unix_seconds(1_767_225_600 + i64::try_from(number).unwrap());
    Activity::new("record.read", Action::Read, Outcome::Success, at)
        .by(Actor::human(format!("dr.{}@clinic.example", number % 3)).unwrap())
        .about(subject(number))
        .for_purpose(Purpose::Treatment)
        .on(Resource::new("Patient", format!("mrn-{number}")))
        .in_session(format!("s{}", number % 5))
        .with("number", number)
}

/// An ECDSA key in this process, of which every signature is another one.
#[derive(Debug)]
pub(crate) struct P256(EcdsaKeyPair);

impl P256 {
    pub(crate) fn generate() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }
}

impl Signer for P256 {
    fn public_key(&self) -> PublicKey {
        PublicKey::EcdsaP256(self.0.public_key().as_ref().try_into().unwrap())
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError::new("no randomness"));
        Box::pin(core::future::ready(signature.map(|signature| signature.as_ref().try_into().unwrap())))
    }
}
