//! What several tests share.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use phi_keys::{
    Carrier, EphemeralKeyring, KeyStore, Keys, KeysBuilder, Kms, KmsError, KmsFuture, MemoryKeyStore, Scope,
    WrapContext, Wrapped,
};
use phi_types::SubjectId;

use crate::forward::forward;

pub(crate) fn subject(id: &str) -> SubjectId {
    SubjectId::new(id).unwrap()
}

pub(crate) fn patient(id: &str) -> Scope {
    Scope::subject(&subject(id))
}

/// A KMS that counts calls, takes its time, and can be switched off.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) kms: EphemeralKeyring,
    pub(crate) wraps: AtomicU64,
    pub(crate) unwraps: AtomicU64,
    pub(crate) down: AtomicBool,
    pub(crate) slow: bool,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(false)
    }

    pub(crate) fn slow() -> Arc<Self> {
        Self::with(true)
    }

    fn with(slow: bool) -> Arc<Self> {
        let (wraps, unwraps, down) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { kms: EphemeralKeyring::generate().unwrap(), wraps, unwraps, down, slow })
    }

    pub(crate) fn calls(&self) -> (u64, u64) {
        (self.wraps.load(Ordering::SeqCst), self.unwraps.load(Ordering::SeqCst))
    }

    async fn answer(&self, counter: &AtomicU64) -> Result<(), KmsError> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.slow {
            // Lets every other task that could run do so.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        if self.down.load(Ordering::SeqCst) { Err(KmsError::unavailable("switched off")) } else { Ok(()) }
    }
}

impl Kms for Watched {
    forward!(self.kms: kek_id, status, version_state, root_pin);

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            self.answer(&self.wraps).await?;
            self.kms.wrap_dek(carrier, context).await
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            self.answer(&self.unwraps).await?;
            self.kms.unwrap_dek(wrapped, context).await
        })
    }
}

/// A store and a KEK that several key managers share, as processes do.
pub(crate) struct Site {
    pub(crate) store: Arc<MemoryKeyStore>,
    pub(crate) kms: Arc<Watched>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { store: Arc::new(MemoryKeyStore::new()), kms: Watched::new() }
    }

    pub(crate) fn builder(&self) -> KeysBuilder {
        Keys::builder(Arc::clone(&self.store)).kek(Arc::clone(&self.kms)).tenant("clinic")
    }

    pub(crate) async fn keys(&self) -> Keys {
        self.builder().build().await.unwrap()
    }
}

/// Sleeps for ten milliseconds, however long it should: waiting for a server is all there is to do.
#[cfg(feature = "postgres")]
#[derive(Debug)]
pub(crate) struct Tick;

#[cfg(feature = "postgres")]
impl phi_keys::Sleeper for Tick {
    fn sleep(&self, _: core::time::Duration) -> core::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {
            let _ = tokio::task::spawn_blocking(|| std::thread::sleep(core::time::Duration::from_millis(10))).await;
        })
    }
}

/// A store that lasts as long as what it stands on.
#[derive(Debug)]
pub(crate) struct On<S, K> {
    store: S,
    _kept: K,
}

impl<S, K> On<S, K> {
    pub(crate) const fn new(store: S, kept: K) -> Self {
        Self { store, _kept: kept }
    }
}

impl<S: KeyStore, K: core::fmt::Debug + Send + Sync + 'static> KeyStore for On<S, K> {
    forward!(self.store: prepare, commit, slot, scopes, by_kid, domain_rows, tombstones, data_rows, remains, purge);
}

pub(crate) mod wire {
    use phi_keys::conformance::Disturbance;
    use phi_keys::{RevocationChannel, RevocationNotice, StoreError, StoreFuture};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::broadcast;

    /// Carries notices between the key managers of this process, as text.
    #[derive(Debug)]
    pub(crate) struct Wire {
        sender: broadcast::Sender<String>,
        receiver: tokio::sync::Mutex<broadcast::Receiver<String>>,
        pub(crate) down: AtomicBool,
    }

    impl Wire {
        pub(crate) fn new(sender: &broadcast::Sender<String>) -> Arc<Self> {
            let receiver = tokio::sync::Mutex::new(sender.subscribe());
            Arc::new(Self { sender: sender.clone(), receiver, down: AtomicBool::new(false) })
        }
    }

    impl RevocationChannel for Wire {
        fn publish<'a>(&'a self, notice: &'a RevocationNotice) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                let text = notice.to_text();
                assert!(text.len() < 100 && !text.contains("7431"), "a notice names no subject: {text}");
                match self.down.load(Ordering::SeqCst) {
                    true => Err(StoreError::unavailable("cut")),
                    false => self.sender.send(text).map(drop).map_err(StoreError::unavailable),
                }
            })
        }

        fn next(&self) -> StoreFuture<'_, RevocationNotice> {
            Box::pin(async move {
                let text = self.receiver.lock().await.recv().await;
                text.map(|text| RevocationNotice::from_text(&text)).map_err(StoreError::unavailable)
            })
        }
    }

    /// What becomes of a wire from outside.
    pub(crate) async fn disturb(sender: broadcast::Sender<String>, what: Disturbance) {
        match what {
            Disturbance::Garbage => drop(sender.send("phi-revoke-9 \u{0}".into())),
            // Who listens falls behind, and has lost what was sent.
            _ => (0..65).for_each(|_| drop(sender.send(format!("phi-revoke-1 kid {}", "0".repeat(32))))),
        }
    }
}

#[cfg(feature = "sqlite")]
pub(crate) mod sqlite {
    use std::path::PathBuf;

    use sqlx::SqlitePool;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
    use tempfile::TempDir;

    /// A database in a folder of its own.
    #[derive(Debug)]
    pub(crate) struct Database {
        pub(crate) folder: TempDir,
        pub(crate) pool: SqlitePool,
    }

    impl Database {
        pub(crate) async fn new() -> Self {
            Self::with(SqliteJournalMode::Wal).await
        }

        pub(crate) async fn with(mode: SqliteJournalMode) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let pool = connect(&folder.path().join("clinic.db"), mode).await;
            Self { folder, pool }
        }

        pub(crate) async fn another_pool(&self) -> SqlitePool {
            self.another_pool_with(SqliteJournalMode::Wal).await
        }

        pub(crate) async fn another_pool_with(&self, mode: SqliteJournalMode) -> SqlitePool {
            connect(&self.path(), mode).await
        }

        /// For a forger who does not care whether the writes survive a power failure.
        pub(crate) async fn fast_pool(&self) -> SqlitePool {
            let options = SqliteConnectOptions::new().filename(self.path()).synchronous(SqliteSynchronous::Off);
            SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
        }

        pub(crate) fn path(&self) -> PathBuf {
            self.folder.path().join("clinic.db")
        }

        /// Every byte of every file of the database, by name.
        pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
            let entries = std::fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap);
            entries.map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap())).collect()
        }
    }

    async fn connect(path: &std::path::Path, mode: SqliteJournalMode) -> SqlitePool {
        crate::component::used("sqlite");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(mode);
        SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
    }
}

#[cfg(feature = "postgres")]
pub(crate) mod postgres {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};

    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
    use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

    const VARIABLE: &str = "PHI_TEST_POSTGRES_URL";

    static NUMBER: AtomicU32 = AtomicU32::new(0);

    /// A schema of its own in the database that the environment names; dropped with everything in it.
    #[derive(Debug)]
    pub(crate) struct Schema {
        options: PgConnectOptions,
        name: String,
    }

    impl Schema {
        /// `None` when no server is named.
        pub(crate) async fn new() -> Option<Self> {
            let url = crate::component::given("postgres", VARIABLE)?;
            #[expect(clippy::disallowed_methods, reason = "a name that no other run has")]
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let name = format!("phi_keys_{now:x}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
            let options: PgConnectOptions = url.parse().unwrap();
            let mut connection = PgConnection::connect_with(&options).await.unwrap();
            sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            Some(Self { options, name })
        }

        pub(crate) fn options(&self) -> PgConnectOptions {
            self.options.clone().options([("search_path", &self.name)])
        }

        /// As a URL for a child process.
        pub(crate) fn search_path(&self) -> &str {
            &self.name
        }

        pub(crate) async fn pool(&self) -> PgPool {
            self.pool_with(self.options()).await
        }

        pub(crate) async fn pool_with(&self, options: PgConnectOptions) -> PgPool {
            PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
        }
    }

    impl Drop for Schema {
        fn drop(&mut self) {
            let (options, name) = (self.options.clone(), self.name.clone());
            // A runtime of its own, because this one cannot be waited for here.
            let dropping = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut connection = PgConnection::connect_with(&options).await?;
                    sqlx::query(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE"))).execute(&mut connection).await
                })
            });
            let _ = dropping.join();
        }
    }
}
