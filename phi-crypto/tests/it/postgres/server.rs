//! The server that the environment names, and a schema that one test has to itself.

use phi_crypto::{Opener, Sealer};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

const VARIABLE: &str = "PHI_TEST_POSTGRES_URL";

pub(super) struct Server {
    pub(super) pool: PgPool,
    pub(super) keys: Keys,
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
}

impl Server {
    /// A new schema on the server that the environment names; `None` without one.
    pub(super) async fn with_schema(test: &str) -> Option<Self> {
        let url = crate::component::given("postgres", VARIABLE)?;
        let options: PgConnectOptions = url.parse().unwrap();
        let schema = format!("phi_crypto_{test}_{}", std::process::id());
        let mut connection = options.clone().connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")))
            .execute(&mut connection)
            .await
            .unwrap();
        let options = options.options([("search_path", schema)]);
        let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
        let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).tenant("clinic");
        let keys = keys.build().await.unwrap();
        let (sealer, opener) = (Sealer::builder(keys.clone()).build(), Opener::builder(keys.clone()).build());
        Some(Self { pool, keys, sealer, opener })
    }

    pub(super) async fn run(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&self.pool).await.unwrap();
    }
}
