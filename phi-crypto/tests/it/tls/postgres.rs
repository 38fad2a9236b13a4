//! A real PostgreSQL, reached by what the policy tells SQLx.

use std::str::FromStr as _;

use phi_crypto::tls::TlsClient;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::support::{Authority, Files};
use crate::component;

/// Address and authority of a server with TLS; `None` without one.
fn given() -> Option<(String, String)> {
    // The authority first: a server that somebody brought along need not have TLS.
    let roots = component::given("postgres", "PHI_TEST_POSTGRES_ROOTS")?;
    Some((component::given("postgres", "PHI_TEST_POSTGRES_URL")?, roots))
}

async fn agreed(connection: &mut PgConnection) -> (bool, String) {
    let row = sqlx::query_as("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()");
    row.fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn postgres_is_verified_in_full() {
    let Some((url, authority)) = given() else { return };
    let files = Files::new();
    let client = |roots| -> TlsClient {
        // Libraries with their own TLS have the system's clock, and so has the certificate of the server.
        let policy = phi_crypto::tls::TlsPolicy::new();
        policy.client(&policy.roots(roots).load().unwrap()).build().unwrap()
    };
    let right = client(authority.into());
    let wrong = client(files.write("other.pem", Authority::new("phi-test").pem));

    let options = PgConnectOptions::from_str(&url).unwrap();
    let mut connection = right.postgres(options.clone()).unwrap().connect().await.unwrap();
    assert_eq!(agreed(&mut connection).await, (true, "TLSv1.3".to_owned()));
    let mut connection = PgConnection::connect(&right.postgres_url(&url).unwrap()).await.unwrap();
    assert_eq!(agreed(&mut connection).await, (true, "TLSv1.3".to_owned()));

    assert!(wrong.postgres(options.clone()).unwrap().connect().await.is_err());
    assert!(PgConnection::connect(&wrong.postgres_url(&url).unwrap()).await.is_err());
    // The same server under a name that its certificate does not hold.
    let misnamed = right.postgres(options.host("0x7f000001")).unwrap().connect().await.unwrap_err();
    assert!(misnamed.to_string().contains("not valid for name"), "{misnamed}");
}
