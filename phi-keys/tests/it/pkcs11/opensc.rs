//! What another PKCS#11 client, OpenSC's `pkcs11-tool`, sees of our keys, does with them, and makes for us.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use phi_keys::{Carrier, Kms, PublicKey, Signer, WrapContext};
use ring::digest::{SHA256, digest};

use super::token::{Token, unique};

/// The tool, logged in to a token.
struct Tool<'a>(&'a Token);

impl Tool<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let tool = std::env::var("PHI_TEST_PKCS11_TOOL").unwrap();
        let output = Command::new(tool)
            .args(["--module", &std::env::var("PHI_TEST_PKCS11_MODULE").unwrap()])
            .args(["--token-label", &self.0.label, "--login", "--pin", &self.0.pin])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// The part of a list that is about the object of a label.
    fn object(&self, label: &str) -> String {
        let list = self.run(&["--list-objects"]);
        let named = |part: &&str| part.contains(label);
        list.split("\nSecret Key Object").find(named).unwrap_or_else(|| panic!("{label}: {list}")).to_owned()
    }

    fn sign(&self, folder: &Path, label: &str, mechanism: &str, message: &[u8]) -> Vec<u8> {
        let (input, output) = (folder.join("input"), folder.join("output"));
        fs::write(&input, message).unwrap();
        let (input, output) = (input.display().to_string(), output.display().to_string());
        self.run(&["--sign", "--label", label, "-m", mechanism, "--input-file", &input, "--output-file", &output]);
        fs::read(output).unwrap()
    }
}

#[tokio::test]
async fn another_client_of_the_token_sees_that_a_kek_cannot_leave_it_and_makes_one_for_us() {
    if crate::component::given("softhsm", "PHI_TEST_PKCS11_TOOL").is_none() {
        return;
    }
    const NAME: &str =
        "pkcs11::opensc::another_client_of_the_token_sees_that_a_kek_cannot_leave_it_and_makes_one_for_us";
    let Some(token) = Token::own(NAME) else { return };
    let (tool, pool, context) = (Tool(&token), token.pool().await, WrapContext::from_digest([1; 32]));
    let label = unique("ours");
    pool.create_kek(&label).await.unwrap();
    let seen = tool.object(&label);
    for expected in ["AES length 32", "never extractable", "always sensitive", "local"] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    assert!(!seen.contains("sign") && !seen.contains("derive"), "{seen}");

    // As an administrator makes one by the token's own tools.
    let label = unique("theirs");
    tool.run(&[
        "--keygen",
        "--key-type",
        "AES:32",
        "--id",
        "01",
        "--label",
        &label,
        "--sensitive",
        "--private",
        "--usage-decrypt",
    ]);
    let kms = pool.kek(&label).await.unwrap();
    let carrier = Carrier::generate().unwrap();
    let wrapped = kms.wrap_dek(&carrier, &context).await.unwrap();
    assert_eq!(wrapped.kek_version(), "01");
    assert_eq!(kms.unwrap_dek(&wrapped, &context).await.unwrap().expose(), carrier.expose());
    pool.close().await;
}

#[tokio::test]
async fn what_another_client_signs_with_our_keys_verifies_as_what_we_sign() {
    if crate::component::given("softhsm", "PHI_TEST_PKCS11_TOOL").is_none() {
        return;
    }
    const NAME: &str = "pkcs11::opensc::what_another_client_signs_with_our_keys_verifies_as_what_we_sign";
    let Some(token) = Token::own(NAME) else { return };
    let (tool, pool, folder) = (Tool(&token), token.pool().await, tempfile::tempdir().unwrap());
    let message = b"clinic.example/audit\n9\n";
    let label = unique("p256");
    let signer = pool.create_p256_signer(&label).await.unwrap();
    let signature = tool.sign(folder.path(), &label, "ECDSA", digest(&SHA256, message).as_ref());
    let key = signer.public_key();
    assert!(matches!(key, PublicKey::EcdsaP256(_)));
    key.verify(message, &signature).unwrap();
    key.verify(message, &signer.sign(message).await.unwrap()).unwrap();
    key.verify(b"another", &signature).unwrap_err();
    pool.close().await;
}
