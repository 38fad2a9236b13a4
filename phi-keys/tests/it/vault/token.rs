//! Logins, renewal, and tokens that end.

use core::time::Duration;
use std::io::Write;
use std::sync::Arc;

use kms_sim::{Fault, FaultKind, Simulator};
use phi_keys::vault::{VaultAuth, VaultKms};
use phi_keys::{Kms, KmsError};
use secrecy::SecretString;

use super::{Time, app_role, builder, carrier, fact, here, secret, start};

fn with_role(vault: &Simulator, time: &Time<'_>) -> VaultKms {
    builder(vault).auth(app_role(vault)).clock(time.clock.clone()).build().unwrap()
}

async fn works(kms: &VaultKms) -> Result<(), KmsError> {
    kms.wrap_dek(&carrier(), &here()).await.map(drop)
}

#[tokio::test]
async fn vault_is_signed_in_to_once_and_the_token_renewed_at_two_thirds() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    let calls = |name: &str| vault.control().calls_of(name);
    works(&kms).await.unwrap();
    works(&kms).await.unwrap();
    assert_eq!((calls("approle_login"), calls("renew_self")), (1, 0));
    assert_eq!(kms.keep_alive().await.unwrap(), Some(Duration::from_secs(400)));
    time.pass(399);
    works(&kms).await.unwrap();
    assert_eq!(calls("renew_self"), 0);
    time.pass(1);
    assert_eq!(kms.keep_alive().await.unwrap(), Some(Duration::from_secs(400)), "an idle program renews too");
    works(&kms).await.unwrap();
    assert_eq!((calls("approle_login"), calls("renew_self")), (1, 1));
}

#[tokio::test]
async fn a_vault_token_that_nears_its_maximum_is_replaced_by_a_login() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    // Renewable for an hour, ten minutes at a time.
    for _ in 0..20 {
        works(&kms).await.unwrap();
        time.pass(400);
    }
    assert_eq!(vault.control().calls_of("encrypt"), 20, "no call met a dead token");
    assert_eq!(vault.control().calls_of("approle_login"), 3);
}

#[tokio::test]
async fn a_vault_token_that_died_is_replaced_before_or_after_the_call() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    works(&kms).await.unwrap();
    // This process knows.
    time.pass(601);
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("approle_login"), 2);
    // Only the server knows.
    vault.control().advance(Duration::from_secs(601));
    time.clock.advance(Duration::from_secs(10));
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("approle_login"), 3);
}

#[tokio::test]
async fn a_denial_of_vault_is_answered_with_one_login_and_a_fresh_token_with_none() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    works(&kms).await.unwrap();
    let logins = || vault.control().calls_of("approle_login");
    time.pass(10);
    vault.control().inject(Fault::new(FaultKind::ExpiredToken).on("encrypt"));
    works(&kms).await.unwrap();
    assert_eq!(logins(), 2);

    vault.control().inject(Fault::new(FaultKind::Forbidden).on("encrypt").times(100));
    for _ in 0..5 {
        assert!(matches!(works(&kms).await, Err(KmsError::AccessDenied(_))));
    }
    assert_eq!(logins(), 2, "the token is fresh: its policy denies");
    time.pass(10);
    for _ in 0..5 {
        assert!(matches!(works(&kms).await, Err(KmsError::AccessDenied(_))));
    }
    assert_eq!(logins(), 3);
}

#[tokio::test]
async fn a_renewal_that_vault_does_not_answer_leaves_the_token_in_use() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    works(&kms).await.unwrap();
    time.pass(450);
    vault.control().inject(Fault::new(FaultKind::Unavailable).on("renew_self"));
    vault.control().inject(Fault::new(FaultKind::Unavailable).on("approle_login"));
    works(&kms).await.unwrap();
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("renew_self"), 1, "it is left alone for a while");
    time.pass(50);
    works(&kms).await.unwrap();
    assert_eq!((vault.control().calls_of("renew_self"), vault.control().calls_of("approle_login")), (2, 2));
}

#[tokio::test]
async fn many_tasks_sign_in_to_vault_once() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let kms = kms.clone();
            tokio::spawn(async move { works(&kms).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((vault.control().calls_of("approle_login"), vault.control().calls_of("renew_self")), (1, 0));
}

#[tokio::test]
async fn a_refused_vault_login_is_not_a_denied_key() {
    let vault = start().await;
    let wrong = VaultAuth::app_role(fact(&vault, "role_id"), "nonsense".to_owned().into());
    let kms = builder(&vault).auth(wrong).build().unwrap();
    assert!(matches!(works(&kms).await, Err(KmsError::Unauthenticated(_))));
    let kms = builder(&vault).auth(app_role(&vault)).build().unwrap();
    for (kind, expected) in [
        (FaultKind::Throttle { retry_after: Some(1) }, "throttled"),
        (FaultKind::Sealed, "unavailable"),
        (FaultKind::Garbage, "corrupt"),
        (FaultKind::Drop, "unavailable"),
    ] {
        vault.control().inject(Fault::new(kind).on("approle_login"));
        assert_eq!(works(&kms).await.unwrap_err().kind(), expected, "{kind:?}");
    }
    works(&kms).await.unwrap();
}

#[tokio::test]
async fn the_service_account_of_a_pod_signs_in_to_vault() {
    let vault = start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{}", fact(&vault, "kubernetes_jwt")).unwrap();
    let auth = || VaultAuth::kubernetes(fact(&vault, "kubernetes_role"));
    let kms = builder(&vault).auth(auth().with_token_file(file.path())).build().unwrap();
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("kubernetes_login"), 1);
    let kms = builder(&vault).auth(auth().with_token_file("/nonexistent")).build().unwrap();
    assert!(matches!(works(&kms).await, Err(KmsError::Unauthenticated(_))));
}

#[tokio::test]
async fn a_given_vault_token_is_looked_up_renewed_and_exchanged() {
    let vault = start().await;
    let time = Time::of(&vault);
    let login = with_role(&vault, &time);
    works(&login).await.unwrap();
    let token = |ttl: u64, renewable: bool| {
        let root = fact(&vault, "root_token").to_owned();
        let url = vault.url().to_owned();
        async move { create_token(&url, &root, ttl, renewable).await }
    };

    let given = |token: &SecretString| builder(&vault).auth(VaultAuth::token(token.clone())).clock(time.clock.clone());
    let first = token(300, true).await;
    let kms = given(&first).build().unwrap();
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("lookup_self"), 1);
    time.pass(250);
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("renew_self"), 1);
    time.pass(250);
    works(&kms).await.unwrap();

    // One that cannot be renewed ends, and only another one helps.
    let kms = given(&token(300, false).await).build().unwrap();
    works(&kms).await.unwrap();
    time.pass(250);
    works(&kms).await.unwrap();
    time.pass(60);
    assert!(matches!(works(&kms).await, Err(KmsError::Unauthenticated(_))));
    assert!(kms.set_token(&"not a token".to_owned().into()).is_err());
    kms.set_token(&secret(&vault, "token")).unwrap();
    works(&kms).await.unwrap();
    assert_eq!(kms.keep_alive().await.unwrap(), None, "this one never expires");
}

#[tokio::test]
async fn a_callers_own_vault_client_is_used_as_it_is() {
    let vault = start().await;
    let client = |token: &str| {
        let mut settings = vaultrs::client::VaultClientSettingsBuilder::default();
        settings.address(vault.url()).token(token).set_namespace(fact(&vault, "namespace").to_owned());
        // The client library panics without a provider of rustls.
        let _ = builder(&vault).build().unwrap();
        vaultrs::client::VaultClient::new(settings.build().unwrap()).unwrap()
    };
    let kms = VaultKms::builder(fact(&vault, "key")).client(client(fact(&vault, "token"))).build().unwrap();
    works(&kms).await.unwrap();
    assert!(kms.kek_id().contains(&format!("/{}/transit/", fact(&vault, "namespace"))), "{}", kms.kek_id());
    let kms = VaultKms::builder("phi").client(client("")).build();
    assert!(kms.is_err(), "neither token nor login: {kms:?}");
    let kms = VaultKms::builder(fact(&vault, "key")).client(client("")).auth(app_role(&vault)).build().unwrap();
    works(&kms).await.unwrap();
}

async fn create_token(url: &str, root: &str, ttl: u64, renewable: bool) -> SecretString {
    let settings = vaultrs::client::VaultClientSettingsBuilder::default().address(url).token(root).build().unwrap();
    let client = Arc::new(vaultrs::client::VaultClient::new(settings).unwrap());
    let mut request = vaultrs::api::token::requests::CreateTokenRequest::builder();
    request.policies(vec!["phi-keys".to_owned()]).ttl(format!("{ttl}s")).renewable(renewable);
    vaultrs::token::new(&*client, Some(&mut request)).await.unwrap().client_token.into()
}

#[tokio::test]
async fn a_vault_token_that_somebody_else_renewed_is_used_on() {
    let vault = start().await;
    let time = Time::of(&vault);
    let token = create_token(vault.url(), fact(&vault, "root_token"), 300, true).await;
    let kms = builder(&vault).auth(VaultAuth::token(token.clone())).clock(time.clock.clone()).build().unwrap();
    works(&kms).await.unwrap();
    time.pass(250);
    // An agent beside this process, which is idle meanwhile.
    let settings = vaultrs::client::VaultClientSettingsBuilder::default()
        .address(vault.url())
        .token(secrecy::ExposeSecret::expose_secret(&token))
        .build()
        .unwrap();
    let agent = vaultrs::client::VaultClient::new(settings).unwrap();
    vaultrs::token::renew_self(&agent, None).await.unwrap();
    time.pass(100);
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("lookup_self"), 2);
    time.pass(400);
    assert!(matches!(works(&kms).await, Err(KmsError::Unauthenticated(_))), "nobody renewed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_while_a_vault_token_is_renewed() {
    let vault = start().await;
    let time = Time::of(&vault);
    let kms = with_role(&vault, &time);
    works(&kms).await.unwrap();
    time.pass(450);
    vault.control().inject(Fault::new(FaultKind::Latency { ms: 60_000 }).on("renew_self"));
    let renewing = tokio::spawn({
        let kms = kms.clone();
        async move { works(&kms).await }
    });
    while !vault.control().faults().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        works(&kms).await.unwrap();
    }
    assert!(!renewing.is_finished(), "the others did not wait for it");
    renewing.abort();
    // Given up in the middle, it is taken up by the next call.
    let _ = renewing.await;
    works(&kms).await.unwrap();
    assert_eq!(vault.control().calls_of("renew_self"), 2);
}

#[tokio::test]
async fn a_vault_that_leads_elsewhere_gets_no_token_sent_there() {
    use std::net::TcpListener;

    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let here_first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (address, target) = (here_first.local_addr().unwrap(), elsewhere.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = here_first.accept() {
            let head = format!(
                "HTTP/1.1 307 x\r\nLocation: http://{target}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let kms =
        VaultKms::builder("phi").address(format!("http://{address}")).auth(VaultAuth::token("hvs.x".to_owned().into()));
    let error = works(&kms.build().unwrap()).await.unwrap_err();
    assert!(matches!(&error, KmsError::Misconfigured(mend) if mend.contains("active node")), "{error:?}");
    assert!(elsewhere.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn the_name_of_a_vault_kek_holds_no_password_and_tells_two_servers_apart() {
    // The client library panics without a provider of rustls.
    let _ = builder(&start().await).build().unwrap();
    let kek = |address: &str| {
        let mut settings = vaultrs::client::VaultClientSettingsBuilder::default();
        let client =
            vaultrs::client::VaultClient::new(settings.address(address).token("hvs.x").build().unwrap()).unwrap();
        VaultKms::builder("phi").client(client).build()
    };
    for address in ["http://admin:hunter2@vault.example:8200", "http://admin@vault.example"] {
        let refused = kek(address).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("admin"), "{refused:?}");
    }
    let name = |address: &str| kek(address).unwrap().kek_id().to_owned();
    assert_eq!(name("http://vault.example:8200/"), "vault:vault.example:8200/transit/phi");
    assert_eq!(name("https://gateway.example/east/"), "vault:gateway.example/east/transit/phi");
    assert_ne!(name("https://gateway.example/east"), name("https://gateway.example/west"));
}
