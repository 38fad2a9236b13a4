//! A certificate is replaced while connections are open.

use std::sync::{Arc, Barrier};

use phi_crypto::tls::{Reloaded, TlsError};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, Error, HandshakeKind};

use super::support::{Authority, Connection, Files, Leaf, client, der, plain_server};

const NAME: &str = "chart.example.org";

#[test]
fn an_open_connection_goes_on_and_a_new_one_sees_the_new_certificate() {
    let files = Files::new();
    let root = Authority::new("root");
    let (old, new) = (root.issue(&Leaf::server(NAME)), root.issue(&Leaf { serial: 2, ..Leaf::server(NAME) }));
    let identity = files.identity("chart", &old);
    let server = files.policy.server(&identity).build().unwrap();
    let client = client(&files, &root);

    let mut first = Connection::open(&client, &server, NAME).unwrap();
    assert_eq!(first.seen(), der(&old.0));
    assert_eq!(identity.reload().unwrap(), Reloaded::Unchanged);
    files.pair("chart", &new);
    assert_eq!(identity.reload().unwrap(), Reloaded::Replaced);
    first.talk();

    // A client that has met nobody yet: another one would resume its session and look at no certificate.
    let mut second = Connection::open(&super::support::client(&files, &root), &server, NAME).unwrap();
    assert_eq!(second.seen(), der(&new.0));
    assert_eq!(second.client.handshake_kind(), Some(HandshakeKind::Full));
    second.talk();
    first.talk();
}

#[test]
fn whatever_cannot_be_used_leaves_the_old_certificate_in_force() {
    let files = Files::new();
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    let old = root.issue(&Leaf::server(NAME));
    let (chain, key) = files.pair("chart", &old);
    let roots = files.roots("roots.pem", &root.pem);
    let identity = files.policy.identity(chain, key).name(NAME).issued_under(&roots).load().unwrap();
    let server = files.policy.server(&identity).build().unwrap();
    let before = server.describe();

    let new = root.issue(&Leaf::server(NAME));
    let half = [(new.0.clone(), old.1.clone()), (old.0.clone(), new.1.clone())];
    let expired = root.issue(&Leaf { until: 2026, ..Leaf::server(NAME) });
    let early = root.issue(&Leaf { from: 2027, ..Leaf::server(NAME) });
    let misnamed = root.issue(&Leaf::server("other.example.org"));
    let foreign = other.issue(&Leaf::server(NAME));
    let empty = (String::new(), String::new());
    for tried in half.into_iter().chain([expired, early, misnamed, foreign, empty]) {
        files.pair("chart", &tried);
        let refused: TlsError = identity.reload().unwrap_err();
        assert_eq!(server.describe(), before, "{refused}");
        let mut connection = Connection::open(&client(&files, &root), &server, NAME).unwrap();
        assert_eq!(connection.seen(), der(&old.0), "{refused}");
        connection.talk();
    }
    files.pair("chart", &new);
    assert_eq!(identity.reload().unwrap(), Reloaded::Replaced);
    assert_ne!(server.describe(), before);
}

#[test]
fn an_authority_that_is_dropped_is_believed_in_no_resumed_session_either() {
    for version in [&TLS13, &TLS12] {
        let files = Files::new();
        let (root, other) = (Authority::new("root"), Authority::new("other"));
        let server = plain_server(version, &root.issue(&Leaf::server(NAME)));
        let roots = files.roots("roots.pem", &root.pem);
        let client = files.policy.client(&roots).build().unwrap();
        let open = || Connection::to(&client, Arc::clone(&server), NAME);
        assert_eq!(open().unwrap().client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(open().unwrap().client.handshake_kind(), Some(HandshakeKind::Resumed));
        let mut before = open().unwrap();
        assert!(client.describe().resumption);
        files.write("roots.pem", &other.pem);
        assert_eq!(roots.reload().unwrap(), Reloaded::Replaced);
        before.talk();
        let refused = open().map(|_| ());
        assert_eq!(refused, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)), "{version:?}");
    }
}

#[test]
fn handshakes_during_reloads_see_one_certificate_or_the_other() {
    let files = Files::new();
    let root = Authority::new("root");
    let pairs = [root.issue(&Leaf::server(NAME)), root.issue(&Leaf { serial: 2, ..Leaf::server(NAME) })];
    let known = pairs.each_ref().map(|pair| der(&pair.0));
    let identity = files.identity("chart", &pairs[0]);
    let server = files.policy.server(&identity).build().unwrap();
    let roots = files.roots("roots.pem", &root.pem);
    let barrier = Arc::new(Barrier::new(4));
    std::thread::scope(|scope| {
        let handshakes: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let handshake = |_| {
                        let client = files.policy.client(&roots).build().unwrap();
                        Connection::open(&client, &server, NAME).unwrap().seen()
                    };
                    (0..60).map(handshake).collect::<Vec<_>>()
                })
            })
            .collect();
        barrier.wait();
        let mut replaced = 0;
        for round in 0..40 {
            // Two files are never replaced at once: between the two writes the pair does not fit and is not taken.
            files.write("chart.pem", &pairs[(round + 1) % 2].0);
            assert!(matches!(identity.reload(), Err(TlsError::KeyDoesNotFit)));
            files.write("chart.key", &pairs[(round + 1) % 2].1);
            replaced += usize::from(identity.reload().unwrap() == Reloaded::Replaced);
        }
        assert_eq!(replaced, 40);
        for seen in handshakes.into_iter().flat_map(|thread| thread.join().unwrap()) {
            assert!(known.contains(&seen));
        }
    });
}
