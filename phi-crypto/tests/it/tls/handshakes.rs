//! Handshakes between the policy's own servers and clients.

use phi_crypto::tls::{ClientCertificates, Reloaded, TlsError, TlsPolicy, TlsVersions};
use phi_types::Timestamp;
use rustls::{CertificateError, Error, HandshakeKind, ProtocolVersion};

use super::support::{Authority, Connection, Files, Leaf, client, der};

const NAME: &str = "chart.example.org";

fn invalid(result: Result<Connection, Error>) -> CertificateError {
    match result {
        Err(Error::InvalidCertificate(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn tls_1_3_is_preferred_and_the_process_default_is_left_alone() {
    let files = Files::new();
    let root = Authority::new("root");
    let server = files.policy.server(&files.identity("chart", &root.issue(&Leaf::server(NAME)))).build().unwrap();
    let mut connection = Connection::open(&client(&files, &root), &server, NAME).unwrap();
    assert_eq!(connection.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    connection.talk();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "nothing may set the process default");
}

#[test]
fn required_client_certificates_are_required_and_verified() {
    let files = Files::new();
    let (root, clients, strangers) = (Authority::new("root"), Authority::new("clients"), Authority::new("clients"));
    let identity = files.identity("chart", &root.issue(&Leaf::server(NAME)));
    let roots = files.roots("roots.pem", &root.pem);
    let accepted = files.roots("clients.pem", &clients.pem);
    let required = files.policy.server(&identity).require_client_certificates(&accepted).build().unwrap();
    let requested = files.policy.server(&identity).request_client_certificates(&accepted).build().unwrap();
    assert_eq!(required.describe().client_certificates, ClientCertificates::Required);
    assert_eq!(requested.describe().client_certificates, ClientCertificates::Requested);

    let with = |name: &str, pair: &(String, String)| {
        files.policy.client(&roots).identity(files.identity(name, pair)).build().unwrap()
    };
    let known = clients.issue(&Leaf::client(5));
    for server in [&required, &requested] {
        let connection = Connection::open(&with("known", &known), server, NAME).unwrap();
        assert_eq!(connection.server.peer_certificates().unwrap()[0].to_vec(), der(&known.0));
    }
    let nobody = files.policy.client(&roots).build().unwrap();
    assert!(matches!(Connection::open(&nobody, &required, NAME), Err(Error::NoCertificatesPresented)));
    assert!(Connection::open(&nobody, &requested, NAME).unwrap().server.peer_certificates().is_none());

    // Same name of the authority, another key.
    let stranger = with("stranger", &strangers.issue(&Leaf::client(5)));
    let a_server = with("server", &clients.issue(&Leaf::server("client.example.org")));
    let expiring = clients.issue(&Leaf { until: 2027, ..Leaf::client(6) });
    let expiring = with("expiring", &expiring);
    assert!(Connection::open(&expiring, &required, NAME).is_ok());
    files.clock.set(Timestamp::from_unix_seconds(1_830_000_000));
    for server in [&required, &requested] {
        let refused = invalid(Connection::open(&stranger, server, NAME));
        assert!(matches!(refused, CertificateError::UnknownIssuer | CertificateError::BadSignature), "{refused:?}");
        let refused = invalid(Connection::open(&a_server, server, NAME));
        assert!(matches!(refused, CertificateError::InvalidPurposeContext { .. }), "{refused:?}");
        let refused = invalid(Connection::open(&expiring, server, NAME));
        assert!(matches!(refused, CertificateError::ExpiredContext { .. }), "{refused:?}");
    }
}

#[test]
fn a_revoked_client_is_refused_from_the_next_reload_on_and_never_resumed() {
    let files = Files::new();
    let (root, clients) = (Authority::new("root"), Authority::new("clients"));
    let identity = files.identity("chart", &root.issue(&Leaf::server(NAME)));
    let lists = files.write("lists.pem", clients.revoke(&[1], 2027));
    let pem = files.write("clients.pem", &clients.pem);
    let accepted = files.policy.roots(pem).revocation_lists(lists).load().unwrap();
    let server = files.policy.server(&identity).require_client_certificates(&accepted).build().unwrap();
    let roots = files.roots("roots.pem", &root.pem);
    let client = files
        .policy
        .client(&roots)
        .identity(files.identity("client", &clients.issue(&Leaf::client(5))))
        .build()
        .unwrap();
    let untouched =
        files.policy.client(&roots).identity(files.identity("u", &clients.issue(&Leaf::client(6)))).build().unwrap();

    for _ in 0..2 {
        let mut connection = Connection::open(&client, &server, NAME).unwrap();
        connection.talk();
        assert_eq!(connection.server.handshake_kind(), Some(HandshakeKind::Full));
    }
    assert_eq!(accepted.reload().unwrap(), Reloaded::Unchanged);
    files.write("lists.pem", clients.revoke(&[1, 5], 2027));
    assert_eq!(accepted.reload().unwrap(), Reloaded::Replaced);
    assert!(matches!(invalid(Connection::open(&client, &server, NAME)), CertificateError::Revoked));
    assert!(Connection::open(&untouched, &server, NAME).is_ok());

    // A list that is no longer current says nothing, so nobody is let in; reloading the old one is refused.
    files.clock.set(Timestamp::from_unix_seconds(1_800_000_000));
    let refused = invalid(Connection::open(&untouched, &server, NAME));
    assert!(matches!(refused, CertificateError::ExpiredRevocationListContext { .. }), "{refused:?}");
    assert!(matches!(accepted.reload(), Err(TlsError::RevocationListExpired { list: 1, .. })));
}

#[test]
fn a_client_believes_its_roots_the_name_and_the_clock() {
    let files = Files::new();
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    let pair = root.issue(&Leaf { until: 2027, ..Leaf::server(NAME) });
    let server = files.policy.server(&files.identity("chart", &pair)).build().unwrap();
    assert!(Connection::open(&client(&files, &root), &server, NAME).is_ok());
    assert_eq!(invalid(Connection::open(&client(&files, &other), &server, NAME)), CertificateError::UnknownIssuer);
    let by_address = Connection::open(&client(&files, &root), &server, "192.0.2.1");
    assert!(matches!(invalid(by_address), CertificateError::NotValidForNameContext { .. }));

    let lists = files.write("lists.pem", root.revoke(&[1], 2030));
    let checked = files.policy.roots(files.write("roots.pem", &root.pem)).revocation_lists(lists).load().unwrap();
    let checking = files.policy.client(&checked).build().unwrap();
    assert_eq!(invalid(Connection::open(&checking, &server, NAME)), CertificateError::Revoked);
    assert!(!checking.describe().resumption);

    files.clock.set(Timestamp::from_unix_seconds(1_830_000_000));
    let expired = invalid(Connection::open(&client(&files, &root), &server, NAME));
    assert!(matches!(expired, CertificateError::ExpiredContext { .. }), "{expired:?}");
}

#[test]
fn the_name_chooses_the_certificate_and_an_unknown_one_is_refused() {
    let files = Files::new();
    let root = Authority::new("root");
    let pairs = ["a.example.org", "b.example.org", "*.wards.example.org"].map(|name| root.issue(&Leaf::server(name)));
    let [a, b, wards] = [0, 1, 2].map(|at| files.identity(&format!("{at}"), &pairs[at]));
    let server = files.policy.server(&a).identity(b).identity(wards).build().unwrap();
    let client = client(&files, &root);
    let wanted = [("a.example.org", 0), ("b.example.org", 1), ("B.EXAMPLE.ORG", 1), ("seven.wards.example.org", 2)];
    for (name, at) in wanted {
        assert_eq!(Connection::open(&client, &server, name).unwrap().seen(), der(&pairs[at].0), "{name}");
    }
    for name in ["c.example.org", "wards.example.org", "x.seven.wards.example.org"] {
        assert!(matches!(Connection::open(&client, &server, name), Err(Error::General(_))), "{name}");
    }
}

#[test]
fn tls_1_3_alone_refuses_1_2_on_both_ends() {
    let files = Files::new();
    let root = Authority::new("root");
    let identity = files.identity("chart", &root.issue(&Leaf::server(NAME)));
    let newest = files.policy.clone().versions(TlsVersions::Tls13);
    let server = newest.server(&identity).build().unwrap();
    assert!(Connection::open(&client(&files, &root), &server, NAME).is_ok());
    assert_eq!(server.describe().versions, ["TLSv1_3"]);
    assert!(server.describe().suites.iter().all(|suite| suite.starts_with("TLS13_")));
    assert_eq!(server.describe().suites.len(), 3);
}

#[test]
fn protocols_are_negotiated_and_one_in_common_is_needed() {
    let files = Files::new();
    let root = Authority::new("root");
    let identity = files.identity("chart", &root.issue(&Leaf::server(NAME)));
    let server = files.policy.server(&identity).protocols(["h2", "http/1.1"]).build().unwrap();
    let roots = files.roots("roots.pem", &root.pem);
    let speaking =
        |names: &[&'static str]| files.policy.client(&roots).protocols(names.iter().copied()).build().unwrap();
    let connection = Connection::open(&speaking(&["http/1.1", "h2"]), &server, NAME).unwrap();
    assert_eq!(connection.client.alpn_protocol(), Some(&b"h2"[..]));
    assert!(Connection::open(&speaking(&["imap"]), &server, NAME).is_err());
    assert!(matches!(files.policy.server(&identity).protocols([""]).build(), Err(TlsError::Protocol)));
}

#[test]
fn a_provider_is_narrowed_to_the_policy() {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.reverse();
    provider.kx_groups.reverse();
    let policy = TlsPolicy::new().on_provider(provider.clone()).unwrap();
    assert_eq!(policy.describe().suites, TlsPolicy::new().describe().suites, "the policy's order");
    assert_eq!(policy.describe().groups, TlsPolicy::new().describe().groups);
    assert_ne!(policy.describe(), TlsPolicy::new().describe(), "it is named");
    provider.cipher_suites.retain(|suite| suite.tls13().is_none());
    assert!(matches!(TlsPolicy::new().on_provider(provider.clone()), Err(TlsError::NothingAllowed(_))));
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups.clear();
    assert!(matches!(TlsPolicy::new().on_provider(provider), Err(TlsError::NothingAllowed(_))));
}

#[test]
fn the_description_is_the_same_for_the_same_settings_and_names_all_of_them() {
    let files = Files::new();
    let root = Authority::new("root");
    let identity = files.identity("chart", &root.issue(&Leaf { until: 2027, ..Leaf::server(NAME) }));
    let lists = files.write("lists.pem", root.revoke(&[9], 2027));
    let roots = files.policy.roots(files.write("roots.pem", &root.pem)).revocation_lists(lists).load().unwrap();
    let build = || files.policy.server(&identity).require_client_certificates(&roots).build().unwrap().describe();
    let description = build();
    assert_eq!(description.to_string(), build().to_string());
    let sha256 = |pem: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, &der(pem));
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let own = std::fs::read_to_string(files.path("chart.pem")).unwrap();
    let expected = format!(
        "provider: ring, no validated module\n\
         protocol versions: TLSv1_3, TLSv1_2\n\
         cipher suites: TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256, \
         TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
         TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, \
         TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n\
         key exchange: X25519, secp256r1, secp384r1\n\
         extended master secret in TLS 1.2: required\n\
         early data: refused\n\
         session resumption: no\n\
         client certificates: required and verified\n\
         certificate: sha256 {}\n  \
         names: chart.example.org\n  \
         valid: 2020-01-01T00:00:00.000000Z to 2027-01-01T00:00:00.000000Z, chain of 1\n\
         root: sha256 {}\n\
         revocation: lists, current until 2027-01-01T00:00:00.000000Z\n",
        sha256(&own),
        sha256(&root.pem),
    );
    assert_eq!(description.to_string(), expected);
    #[cfg(feature = "serde")]
    {
        let json = serde_json::to_value(&description).unwrap();
        assert_eq!(json["client_certificates"], "required");
        assert_eq!(json["roots"][0], sha256(&root.pem));
        assert_eq!(json["certificates"][0]["names"][0], NAME);
    }
}
