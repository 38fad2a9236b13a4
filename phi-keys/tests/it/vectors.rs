//! The published vectors, the golden store that every later version must open, and agreement with the independent
//! implementation in `tests/verify.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use phi_keys::derive::{self, Label};
use phi_keys::f1::{self, MessageKey, Nonce};
use phi_keys::tlv::Writer;
use phi_keys::{Binding, Certificate, EphemeralKeyring, Keys, MemoryKeyStore, PublicKey, Signer, Wrapped};
#[cfg(unix)]
use phi_keys::{FileAnchor, StoreAnchor};
use serde_json::Value;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn vectors() -> Value {
    read(&tests().join("vectors/v1.json"))
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn label(value: &Value) -> Label {
    Label::new(value.as_str().unwrap().to_owned().leak())
}

fn cases<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    vectors[name].as_array().unwrap()
}

/// What the independent implementation prints, or `None` without Python.
fn python(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(crate::component::python()?);
    let output = command.arg("-B").arg(tests().join("verify.py")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_independent_implementation_makes_the_published_vectors() {
    let Some(made) = python(&["vectors"]) else { return };
    assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), vectors());
}

#[test]
fn derivations_are_those_of_the_vectors() {
    let vectors = vectors();
    for case in cases(&vectors, "expand") {
        let derived = derive::expand(&fixed(&case["key"]), label(&case["label"]), &unhex(&case["info"]));
        assert_eq!(derived.to_vec(), unhex(&case["derived"]), "{case}");
    }
    let named = [
        Label::KID,
        Label::WRAP,
        Label::CARRIER,
        Label::ROW_MAC,
        Label::PSEUDONYM,
        Label::FIELD,
        Label::KEYRING,
        Label::KEYRING_UNLOCK,
        Label::BLIND_INDEX,
        Label::ED25519,
        Label::SESSION,
    ];
    let texts = cases(&vectors, "expand").iter().map(|case| case["label"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(named.map(|label| label.as_str()).as_slice(), texts);
}

#[test]
fn lists_are_those_of_the_vectors() {
    for case in cases(&vectors(), "tlv") {
        let mut list = Writer::new("phi/test/v1");
        for field in case["fields"].as_array().unwrap() {
            list.field(u8::try_from(field[0].as_u64().unwrap()).unwrap(), &unhex(&field[1])).unwrap();
        }
        assert_eq!(list.finish(), unhex(&case["encoded"]), "{case}");
    }
}

#[test]
fn sealed_values_are_those_of_the_vectors() {
    for case in cases(&vectors(), "f1_under_phi_v1_wrap") {
        let (key, sealed) = (fixed(&case["key"]), unhex(&case["sealed"]));
        let parts = f1::parse(&sealed).unwrap();
        let message_key = MessageKey::derive(&key, Label::WRAP, parts.suite(), fixed(&case["salt"]));
        let nonce = Nonce::dangerous_from_bytes(fixed(&case["nonce"]));
        assert_eq!(
            message_key.seal(nonce, &unhex(&case["aad"]), &unhex(&case["plaintext"])).unwrap(),
            sealed,
            "{case}"
        );
        assert_eq!(message_key.open(&parts, &unhex(&case["aad"])).unwrap().to_vec(), unhex(&case["plaintext"]));
        assert_eq!(parts.kid().as_bytes().to_vec(), unhex(&case["kid"]));
        assert_eq!(f1::to_text(&sealed), case["text"].as_str().unwrap());
        assert_eq!(f1::from_text(case["text"].as_str().unwrap()).unwrap(), sealed);
    }
}

#[test]
fn wrapped_carriers_are_those_of_the_vectors() {
    for case in cases(&vectors(), "wrapped_carriers") {
        let binding = if case["binding"] == 2 { Binding::Native } else { Binding::Derivation };
        let (id, version) = (case["kek_id"].as_str().unwrap(), case["kek_version"].as_str().unwrap());
        let wrapped = Wrapped::new(id, version, binding, unhex(&case["blob"])).unwrap();
        let wrapped = wrapped.with_algorithm(case["algorithm"].as_str().unwrap()).unwrap();
        assert_eq!(wrapped.to_bytes(), unhex(&case["bytes"]), "{case}");
        assert_eq!(Wrapped::from_bytes(&unhex(&case["bytes"])).unwrap(), wrapped);
    }
}

#[test]
fn certificates_are_those_of_the_vectors() {
    for case in cases(&vectors(), "certificates") {
        let (text, key) = (case["text"].as_str().unwrap(), PublicKey::Ed25519(fixed(&case["public_key"])));
        let read = Certificate::verify(text, &key).unwrap();
        assert_eq!((read.text(), read.tenant(), read.generation()), (text, "clinic é", 12));
        assert_eq!(read.keys().len(), text.matches("\nkey ").count());
        assert_eq!(read.residues().len() + 1, text.matches("\nresidue ").count());
        assert_eq!(read.irrecoverable_after().to_string(), "2026-02-05T00:00:00.000001Z");
    }
}

#[tokio::test]
async fn a_certificate_that_is_made_here_holds_in_the_independent_implementation() {
    let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
    keys.data_key(&crate::support::patient("a")).await.unwrap();
    let shredded = keys.shred(&crate::support::subject("a")).await.unwrap();
    let signer = keys.signer("destruction").await.unwrap();
    let horizon = core::time::Duration::from_secs(86_400);
    let certificate = keys.certify(&shredded, horizon, &signer).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certificate");
    std::fs::write(&path, certificate.text()).unwrap();
    let key = signer.public_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    python(&["certificate", path.to_str().unwrap(), &key]);
}

#[cfg(unix)]
#[tokio::test]
async fn an_anchor_file_is_that_of_the_vectors() {
    use std::os::unix::fs::PermissionsExt;

    let (vectors, folder) = (vectors(), tempfile::tempdir().unwrap());
    let case = &vectors["anchor"];
    let records = case["records"].as_array().unwrap().iter().map(unhex).collect::<Vec<_>>();
    let written = folder.path().join("written");
    FileAnchor::create(&written).unwrap().append(&records).await.unwrap();
    assert_eq!(std::fs::read(written).unwrap(), unhex(&case["file"]));
    let read = folder.path().join("read");
    std::fs::write(&read, unhex(&case["file"])).unwrap();
    std::fs::set_permissions(&read, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(FileAnchor::open(read).unwrap().read(0).await.unwrap(), records);
}

#[cfg(all(feature = "local", unix))]
mod store {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;

    use phi_keys::derive::Label;
    use phi_keys::{
        Change, Committed, Error, FullId, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys, KeysBuilder, LocalKeyring,
        MemoryKeyStore, RowKind, Scope, Signer, Slot, Unlock,
    };
    use phi_types::Timestamp;
    use serde_json::{Value, json};

    use super::{fixed, python, read, tests, unhex};
    use crate::support::{patient, subject};

    const USES: [KeyUse; 4] = [KeyUse::Data, KeyUse::Index, KeyUse::Audit, KeyUse::Session];
    const PASSPHRASE: &str = "golden horse battery staple";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn to_json(row: &KeyRow) -> Value {
        json!({
            "kind": row.kind.code(), "tenant": row.slot.tenant, "key_use": row.slot.key_use.code(),
            "scope": hex(row.slot.scope_bytes()), "version": row.version,
            "full_id": row.full_id.map_or(String::new(), |id| id.to_string()),
            "parent": row.parent.map_or(String::new(), |id| id.to_string()),
            "state": row.state.code(), "created": row.created.as_unix_micros(),
            "wrapped": hex(&row.wrapped), "more": hex(&row.more()), "mac": hex(&row.mac),
        })
    }

    fn from_json(row: &Value) -> KeyRow {
        let code = |name: &str| u8::try_from(row[name].as_u64().unwrap()).unwrap();
        let id = |name: &str| unhex(&row[name]).try_into().ok().map(FullId::from_bytes);
        let scope = unhex(&row["scope"]).try_into().ok();
        KeyRow::new(
            RowKind::from_code(code("kind")).unwrap(),
            Slot::new(row["tenant"].as_str().unwrap(), KeyUse::from_code(code("key_use")).unwrap(), scope),
            u32::try_from(row["version"].as_u64().unwrap()).unwrap(),
            id("full_id"),
            id("parent"),
            KeyState::from_code(code("state")).unwrap(),
            Timestamp::from_unix_micros(row["created"].as_i64().unwrap()),
            unhex(&row["wrapped"]),
            fixed(&row["mac"]),
        )
        // Rows of the golden store are from before there were further fields.
        .with_more(&row.get("more").map_or_else(Vec::new, unhex))
        .unwrap()
    }

    /// Makes a store with a bit of everything, under one keyring or two, and writes it down.
    async fn write(folder: &Path, second: Option<LocalKeyring>) {
        let unlock = Unlock::create_key_file(folder.join("key-file")).unwrap();
        let keyring = LocalKeyring::create(folder.join("keyring"), unlock).unwrap();
        let store = Arc::new(MemoryKeyStore::new());
        let builder = Keys::builder(Arc::clone(&store)).kek(keyring.clone()).tenant("clinic");
        let keys = second.into_iter().fold(builder, KeysBuilder::kek).build().await.unwrap();

        let scopes =
            [(1, "7431", patient("7431")), (1, "Zoë 林", patient("Zoë 林")), (2, "notes", Scope::group("notes"))];
        let mut data_keys = Vec::new();
        let mut rows = Vec::new();
        for (scope_kind, name, scope) in scopes {
            let key = keys.data_key(&scope).await.unwrap();
            let derived = key.derive(Label::FIELD, b"golden").unwrap();
            rows.extend(store.by_kid(key.kid()).await.unwrap());
            data_keys.push(json!({
                "scope_kind": scope_kind, "scope": name, "kid": key.kid().to_string(), "derived": hex(&*derived),
            }));
        }
        // From here on domain keys are under the second version of the KEK.
        keyring.rotate().unwrap();
        let mut domain_keys = Vec::new();
        for key_use in USES {
            let derived = keys.domain_key(key_use).await.unwrap().derive(Label::BLIND_INDEX, b"golden").unwrap();
            domain_keys.push(json!({ "key_use": key_use.code(), "derived": hex(&*derived) }));
        }
        let gone = keys.data_key(&patient("gone")).await.unwrap();
        let slot = store.by_kid(gone.kid()).await.unwrap().unwrap().slot;
        let report = keys.shred(&subject("gone")).await.unwrap();
        rows.extend(store.slot(&slot).await.unwrap());
        rows.extend(store.domain_rows().await.unwrap());
        let generation = |row: &KeyRow| row.kind == RowKind::Generation;
        rows.extend(store.slot(&Slot::root()).await.unwrap().into_iter().filter(generation));
        rows.sort_by_key(|row| (row.kind.code(), row.slot.key_use.code(), row.mac));

        let expected = json!({
            "tenant": keys.tenant(), "fingerprint": keys.fingerprint().to_string(), "generation": report.generation,
            "data_keys": data_keys, "domain_keys": domain_keys,
            "shredded": [{ "scope": "gone", "full_ids": [gone.full_id().to_string()] }],
            "session_key": hex(&*keys.session_key().await.unwrap()),
            "audit_signer": hex(keys.signer("audit").await.unwrap().public_key().as_bytes()),
        });
        let rows = rows.iter().map(to_json).collect::<Vec<_>>();
        fs::write(folder.join("rows.json"), serde_json::to_string_pretty(&rows).unwrap() + "\n").unwrap();
        fs::write(folder.join("expected.json"), serde_json::to_string_pretty(&expected).unwrap() + "\n").unwrap();
        LocalKeyring::create(folder.join("keyring-passphrase"), Unlock::passphrase(PASSPHRASE)).unwrap();
    }

    /// Opens what [`write`] wrote, now or years ago.
    async fn check(folder: &Path) {
        let private = tempfile::tempdir().unwrap();
        for name in ["keyring", "key-file", "keyring-passphrase"] {
            // A checkout does not keep the mode.
            fs::copy(folder.join(name), private.path().join(name)).unwrap();
            fs::set_permissions(private.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let unlock = Unlock::key_file(private.path().join("key-file"));
        let keyring = LocalKeyring::open(private.path().join("keyring"), unlock).unwrap();
        LocalKeyring::open(private.path().join("keyring-passphrase"), Unlock::passphrase(PASSPHRASE)).unwrap();

        let store = Arc::new(MemoryKeyStore::new());
        let rows = read(&folder.join("rows.json"));
        let change = rows.as_array().unwrap().iter().map(from_json).fold(Change::new(), Change::insert);
        assert_eq!(store.commit(&change).await.unwrap(), Committed::Done);
        let expected = read(&folder.join("expected.json"));
        let generation = expected["generation"].as_u64().unwrap();
        let keys = Keys::builder(Arc::clone(&store))
            .kek(keyring.clone())
            .tenant(expected["tenant"].as_str().unwrap())
            .at_least_generation(generation)
            .build()
            .await
            .unwrap();

        assert_eq!(keys.fingerprint().to_string(), expected["fingerprint"].as_str().unwrap());
        for case in expected["data_keys"].as_array().unwrap() {
            let name = case["scope"].as_str().unwrap();
            let scope = if case["scope_kind"] == 1 { patient(name) } else { Scope::group(name) };
            let key = keys.data_key_by_id(KeyId::from_bytes(fixed(&case["kid"])), &scope).await.unwrap();
            assert_eq!(key.derive(Label::FIELD, b"golden").unwrap().to_vec(), unhex(&case["derived"]));
        }
        for (case, key_use) in expected["domain_keys"].as_array().unwrap().iter().zip(USES) {
            let key = keys.domain_key(key_use).await.unwrap();
            assert_eq!(key.derive(Label::BLIND_INDEX, b"golden").unwrap().to_vec(), unhex(&case["derived"]));
        }
        for case in expected["shredded"].as_array().unwrap() {
            let refused = keys.data_key(&patient(case["scope"].as_str().unwrap())).await;
            assert!(matches!(refused, Err(Error::Shredded)));
        }
        assert_eq!(keys.session_key().await.unwrap().to_vec(), unhex(&expected["session_key"]));
        assert_eq!(keys.signer("audit").await.unwrap().public_key().as_bytes(), unhex(&expected["audit_signer"]));

        // With the next write every tombstone is vouched for, those from before as well.
        let _ = keys.shred(&subject("another")).await.unwrap();
        let build = |store| Keys::builder(store).kek(keyring.clone()).tenant("clinic").build();
        build(Arc::clone(&store)).await.unwrap();
        let mut rows = store.slot(&Slot::root()).await.unwrap();
        rows.extend(store.domain_rows().await.unwrap().into_iter().filter(|row| row.slot != Slot::root()));
        for missing in store.tombstones().await.unwrap() {
            let others = store.tombstones().await.unwrap().into_iter().filter(|row| *row != missing);
            let change = rows.iter().cloned().chain(others).fold(Change::new(), Change::insert);
            let store = Arc::new(MemoryKeyStore::new());
            assert_eq!(store.commit(&change).await.unwrap(), Committed::Done);
            assert!(matches!(build(store).await, Err(Error::Forgotten)));
        }
    }

    #[tokio::test]
    async fn the_golden_store_opens() {
        check(&tests().join("golden/v1")).await;
    }

    #[tokio::test]
    async fn a_new_store_opens_here_and_in_the_independent_implementation() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), None).await;
        check(folder.path()).await;
        python(&["store", folder.path().to_str().unwrap()]);
        python(&["store", tests().join("golden/v1").to_str().unwrap()]);
    }

    #[tokio::test]
    async fn a_store_under_two_keks_opens_with_one_and_in_the_independent_implementation_with_both() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::create_key_file(folder.path().join("key-file-2")).unwrap();
        let second = LocalKeyring::create(folder.path().join("keyring-2"), unlock).unwrap();
        // The first version is in the file and wraps nothing.
        second.rotate().unwrap();
        write(folder.path(), Some(second)).await;
        check(folder.path()).await;
        python(&["store", folder.path().to_str().unwrap()]);
    }

    /// Needs the package `cryptography`, which comes with the vendors' SDKs.
    #[tokio::test]
    async fn a_keyring_under_a_passphrase_opens_in_the_independent_implementation() {
        let Some(program) = crate::component::given("sdk", "PHI_TEST_PYTHON") else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring-passphrase");
        let relocked = LocalKeyring::create(&path, Unlock::passphrase("an older passphrase")).unwrap();
        relocked.relock(Unlock::passphrase(PASSPHRASE)).unwrap();
        let golden = tests().join("golden/v1");
        let opened = |folder: &Path, passphrase: &str| {
            let mut command = Command::new(&program);
            command.arg("-B").arg(tests().join("verify.py")).arg("passphrase").arg(folder).arg(passphrase);
            let output = command.output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
        };
        assert_eq!(opened(folder.path(), PASSPHRASE).as_deref(), Some(relocked.id()));
        assert_eq!(opened(folder.path(), "an older passphrase"), None);
        assert!(opened(&golden, PASSPHRASE).unwrap().starts_with("local:"));
    }

    /// Run by hand, once for each version of the formats: the golden store is never written again.
    #[tokio::test]
    #[ignore = "writes the golden store of a new format version"]
    async fn write_the_golden_store() {
        let folder = tests().join("golden/v1");
        assert!(!folder.join("rows.json").exists(), "a golden store is never overwritten");
        write(&folder, None).await;
    }
}
