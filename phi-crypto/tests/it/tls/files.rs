//! What is refused when it is loaded, and what the error says to do about it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use phi_crypto::tls::{TlsError, TlsFile};
use phi_types::{Clock as _, Timestamp};
use rcgen::ExtendedKeyUsagePurpose;

use super::support::{Authority, Files, Leaf, NOW, error_text};

#[test]
fn each_defect_of_a_certificate_or_key_is_named() {
    let files = Files::new();
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    let issuing = root.intermediate("issuing");
    let good = issuing.issue(&Leaf::server("chart.example.org"));
    let chain = format!("{}{}", good.0, issuing.pem);
    let (chain_path, key_path) = files.pair("good", &(chain, good.1.clone()));
    let roots = files.roots("roots.pem", &root.pem);
    let load = |chain: &str, key: &str| {
        let (chain, key) = (files.write("tried.pem", chain), files.write("tried.key", key));
        files.policy.identity(chain, key).name("chart.example.org").issued_under(&roots).load().map(|_| ())
    };
    let chain = fs::read_to_string(&chain_path).unwrap();
    let key = fs::read_to_string(&key_path).unwrap();
    assert!(load(&chain, &key).is_ok());
    assert!(load(&format!("a comment\n{chain}\nanother\n"), &key).is_ok(), "text between the sections");
    assert!(load(&format!("{chain}{}", root.pem), &key).is_ok(), "the root at the end");

    assert!(
        matches!(load(&key, &chain), Err(TlsError::WrongContent(TlsFile::Chain, text)) if text.contains("private key"))
    );
    assert!(
        matches!(load(&chain, &chain), Err(TlsError::WrongContent(TlsFile::Key, text)) if text.contains("exchanged"))
    );
    assert!(matches!(load("", &key), Err(TlsError::WrongContent(TlsFile::Chain, "nothing in PEM"))));
    assert!(
        matches!(load("\x30\x03", &key), Err(TlsError::WrongContent(TlsFile::Chain, text)) if text.contains("DER"))
    );
    assert!(matches!(load(&chain, &format!("{key}{key}")), Err(TlsError::SeveralKeys)));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(matches!(load(&chain, &encrypted), Err(TlsError::EncryptedKey)));
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert!(matches!(load(&chain, old), Err(TlsError::EncryptedKey)));
    let cut = chain.split_at(300).0;
    assert!(matches!(load(cut, &key), Err(TlsError::DamagedPem(TlsFile::Chain))));
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(load(&chain, not_a_key), Err(TlsError::KeyKind(_))));
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(load(not_a_certificate, &key), Err(TlsError::Malformed(TlsFile::Chain, 1))));
    assert!(matches!(load(&format!("{chain}{not_a_certificate}"), &key), Err(TlsError::Malformed(TlsFile::Chain, 3))));

    let second = issuing.issue(&Leaf::server("chart.example.org"));
    assert!(matches!(load(&chain, &second.1), Err(TlsError::KeyDoesNotFit)));
    let issue = |leaf: Leaf| {
        let (own, key) = issuing.issue(&leaf);
        load(&format!("{own}{}", issuing.pem), &key)
    };
    let valid = |from, until| issue(Leaf { from, until, ..Leaf::server("chart.example.org") });
    let years = |year: i64| Timestamp::from_unix_seconds((year - 1970) * 31_556_952);
    assert!(
        matches!(valid(2020, 2026), Err(TlsError::Expired { certificate: 1, not_after }) if not_after < years(2027))
    );
    assert!(matches!(
        valid(2027, 2100),
        Err(TlsError::NotYetValid { certificate: 1, not_before }) if not_before > files.clock.now()
    ));
    assert!(
        matches!(issue(Leaf::server("other.example.org")), Err(TlsError::NameMissing(name)) if name == "chart.example.org")
    );
    let purpose = ExtendedKeyUsagePurpose::ClientAuth;
    assert!(matches!(issue(Leaf { purpose, ..Leaf::server("chart.example.org") }), Err(TlsError::Purpose)));

    assert!(matches!(load(&good.0, &key), Err(TlsError::ChainIncomplete)), "the intermediate is missing");
    assert!(matches!(load(&format!("{}{}", good.0, other.pem), &key), Err(TlsError::ChainOrder(1))));
    let foreign = other.issue(&Leaf::server("chart.example.org"));
    assert!(matches!(load(&foreign.0, &foreign.1), Err(TlsError::ChainIncomplete)));
}

#[test]
fn the_last_second_of_a_certificate_counts() {
    let files = Files::new();
    let root = Authority::new("root");
    let identity = files.identity("chart", &root.issue(&Leaf { until: 2027, ..Leaf::server("a.example") }));
    let end = identity.not_after();
    assert_eq!(identity.remaining(), end.saturating_since(Timestamp::from_unix_seconds(NOW)));
    files.clock.set(end.saturating_add(std::time::Duration::from_millis(999)));
    assert!(identity.reload().is_ok());
    assert_eq!(identity.remaining(), std::time::Duration::ZERO);
    files.clock.set(end.saturating_add(std::time::Duration::from_secs(1)));
    assert!(matches!(identity.reload(), Err(TlsError::Expired { certificate: 1, not_after }) if not_after == end));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let files = Files::new();
    let pair = Authority::new("root").issue(&Leaf::server("chart.example.org"));
    let (chain, key) = files.pair("chart", &pair);
    let load = |mode: u32| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        files.policy.identity(&chain, &key).load()
    };
    for mode in [0o400, 0o600, 0o700] {
        assert!(load(mode).is_ok(), "{mode:o}");
    }
    for mode in [0o604, 0o602, 0o601, 0o620, 0o660, 0o610, 0o666] {
        assert!(matches!(load(mode), Err(TlsError::KeyPermissions(told)) if told == mode), "{mode:o}");
    }
    // The group of a file that root owns, as with Debian's `ssl-cert`.
    let root_owns = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&key).unwrap()) == 0;
    assert_eq!(load(0o640).is_ok(), root_owns);
    if root_owns {
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&key, Some(65_534), None).unwrap();
        assert!(matches!(files.policy.identity(&chain, &key).load(), Err(TlsError::KeyOwner)));
        std::os::unix::fs::chown(&key, Some(0), None).unwrap();
    }
    // A key in the file of the chain is a key.
    let both = files.write("both.pem", format!("{}{}", pair.0, pair.1));
    assert!(files.policy.identity(&both, &both).load().is_ok());
    fs::set_permissions(&both, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(files.policy.identity(&both, &key).load(), Err(TlsError::KeyPermissions(0o644))));
}

#[test]
fn a_path_that_leads_nowhere_is_named_by_its_role_alone() {
    let files = Files::new();
    let pair = Authority::new("root").issue(&Leaf::server("chart.example.org"));
    let (chain, key) = files.pair("Lovelace", &pair);
    let missing = files.path("Lovelace-7431.pem");
    let errors = [
        files.policy.identity(&missing, &key).load().unwrap_err(),
        files.policy.identity(&chain, &missing).load().unwrap_err(),
        files.policy.roots(&missing).load().unwrap_err(),
        files.policy.roots(&chain).revocation_lists(&missing).load().unwrap_err(),
    ];
    let roles = [TlsFile::Chain, TlsFile::Key, TlsFile::Roots, TlsFile::RevocationLists];
    for (error, role) in errors.iter().zip(roles) {
        assert!(matches!(error, TlsError::Unreadable(found, _) if *found == role), "{error:?}");
        assert!(!error_text(error).contains("Lovelace"), "{error:?}");
    }
    let folder = files.path("folder");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(files.policy.roots(&folder).load(), Err(TlsError::NotAFile(TlsFile::Roots))));
    let long = files.write("long.pem", vec![b'\n'; (1 << 20) + 1]);
    assert!(matches!(files.policy.roots(&long).load(), Err(TlsError::TooLong(TlsFile::Roots))));
}

#[test]
fn no_format_of_a_type_or_error_holds_a_byte_of_the_key() {
    let files = Files::new();
    let root = Authority::new("root");
    let pair = root.issue(&Leaf::server("chart.example.org"));
    let identity = files.identity("chart", &pair);
    let roots = files.roots("roots.pem", &root.pem);
    let server = files.policy.server(&identity).require_client_certificates(&roots).build().unwrap();
    let client = files.policy.client(&roots).identity(identity.clone()).build().unwrap();
    let text = format!(
        "{identity:#?} {roots:#?} {server:#?} {client:#?} {:#?} {} {:?} {}",
        files.policy,
        server.describe(),
        server.describe(),
        client.describe()
    );
    // The certificate holds the public half of the key; the private half is what stands in the key's first lines.
    let lines = pair.1.lines().filter(|line| !line.starts_with("-----"));
    let first = lines.clone().next().unwrap();
    assert!(!text.contains(&first[20..40]), "{text}");
    for broken in [pair.1.replace('\n', ""), pair.1.replace("-----END", "-----"), pair.1.replace('=', "*")] {
        files.write("chart.key", &broken);
        if let Err(error) = identity.reload() {
            assert!(!error_text(&error).contains(&first[20..40]), "{error:?}");
        }
    }
}

#[test]
fn revocation_lists_are_current_and_wellformed() {
    let files = Files::new();
    let root = Authority::new("root");
    let pem = files.write("roots.pem", &root.pem);
    let load = |list: &str| files.policy.roots(&pem).revocation_lists(files.write("lists.pem", list)).load();
    assert!(load(&root.revoke(&[7], 2027)).is_ok());
    assert!(matches!(load(&root.revoke(&[7], 2026)), Err(TlsError::RevocationListExpired { list: 1, .. })));
    assert!(matches!(load(&root.pem), Err(TlsError::WrongContent(TlsFile::RevocationLists, _))));
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    assert!(matches!(load(broken), Err(TlsError::Malformed(TlsFile::RevocationLists, 1))));
    files.clock.set(Timestamp::from_unix_seconds(-7_000_000_000));
    assert!(matches!(files.policy.roots(&pem).load(), Err(TlsError::NoValidRoot)));
}
