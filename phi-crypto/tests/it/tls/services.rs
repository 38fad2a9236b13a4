//! What libraries with a TLS of their own are told.

use phi_crypto::tls::{TlsError, TlsVersions};

use super::support::{Authority, Files, Leaf};

#[test]
fn an_address_of_postgres_verifies_in_full_or_is_refused() {
    let files = Files::new();
    let root = Authority::new("root");
    let roots = files.roots("roots & more?.pem", &root.pem);
    let client = files.policy.client(&roots).build().unwrap();
    let folder = files.path("");
    let folder = folder.to_str().unwrap();
    assert_eq!(
        client.postgres_url("postgres://app@db.example.org/chart").unwrap(),
        format!(
            "postgres://app@db.example.org/chart?sslmode=verify-full&sslrootcert={folder}roots%20%26%20more%3F.pem"
        )
    );
    let identity = files.identity("app", &root.issue(&Leaf::client(3)));
    let with = files.policy.client(&roots).identity(identity).build().unwrap();
    let url = with.postgres_url("postgresql://db/chart?application_name=x").unwrap();
    assert!(url.starts_with("postgresql://db/chart?application_name=x&sslmode=verify-full&sslrootcert="), "{url}");
    assert!(url.ends_with(&format!("&sslcert={folder}app.pem&sslkey={folder}app.key")), "{url}");
    let set = ["postgres://db?sslmode=disable", "postgres://db?a=b&ssl-mode=prefer"];
    // Of these, a library would read the settings as part of a fragment, a password or a database's name.
    let hidden =
        ["postgres://db/chart#1", "postgres://db/chart?a=b#1", "postgres://app:x?y@db/chart", "postgres://db?a=b?"];
    for refused in ["mysql://db", "db"].iter().chain(&set).chain(&hidden) {
        assert!(matches!(client.postgres_url(refused), Err(TlsError::Address(_))), "{refused}");
    }
}

#[test]
fn an_address_of_redis_is_reached_through_verified_tls_or_refused() {
    let files = Files::new();
    let root = Authority::new("root");
    let roots = files.roots("roots.pem", &root.pem);
    let pair = root.issue(&Leaf::client(3));
    let client = files.policy.client(&roots).identity(files.identity("app", &pair)).build().unwrap();
    let redis = client.redis("rediss://cache.example.org:6380/0").unwrap();
    assert_eq!(redis.url, "rediss://cache.example.org:6380/0");
    assert_eq!(redis.root_certificates, root.pem.as_bytes());
    let (chain, key) = redis.identity.as_ref().unwrap();
    assert_eq!((chain.as_slice(), key.as_slice()), (pair.0.as_bytes(), pair.1.as_bytes()));
    assert!(!format!("{redis:?}").contains("PRIVATE"));
    for refused in ["redis://cache", "rediss://cache/#insecure", "unix:///run/redis"] {
        assert!(matches!(client.redis(refused), Err(TlsError::Address(_))), "{refused}");
    }
}

#[test]
fn what_a_library_cannot_be_told_is_not_silently_dropped() {
    let files = Files::new();
    let root = Authority::new("root");
    let newest = files.policy.clone().versions(TlsVersions::Tls13);
    let roots = files.roots("roots.pem", &root.pem);
    let lists = files.write("lists.pem", root.revoke(&[1], 2027));
    let checked = files.policy.roots(files.path("roots.pem")).revocation_lists(lists).load().unwrap();
    for client in [newest.client(&roots).build().unwrap(), files.policy.client(&checked).build().unwrap()] {
        assert!(matches!(client.postgres_url("postgres://db/chart"), Err(TlsError::NotCarried(_))));
        assert!(matches!(client.redis("rediss://cache"), Err(TlsError::NotCarried(_))));
    }
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn every_answer_carries_the_one_header_of_the_layer() {
    use http::{Request, Response, header};
    use phi_crypto::tls::Hsts;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    let inner = service_fn(|request: Request<()>| async move {
        let weak = Response::builder().header(header::STRICT_TRANSPORT_SECURITY, "max-age=1");
        match request.uri().path() {
            "/fails" => Err("down"),
            _ => Ok(weak.status(500).body(()).unwrap()),
        }
    });
    let layer = Hsts::new(std::time::Duration::from_secs(86_400)).unwrap();
    let answer = layer.layer(inner).oneshot(Request::new(())).await.unwrap();
    let values: Vec<_> = answer.headers().get_all(header::STRICT_TRANSPORT_SECURITY).iter().collect();
    assert_eq!(values, ["max-age=86400"]);
    let failed = layer.layer(inner).oneshot(Request::builder().uri("/fails").body(()).unwrap()).await;
    assert_eq!(failed.unwrap_err(), "down");
}
