//! The examples of the adapters, which the compiler checks where they stand.

/// The statements of the first example in a page of documentation, without what names types and what is hidden.
fn statements(source: &str, title: &str) -> Vec<String> {
    let page = source.split_once(title).expect("the page has this part").1;
    let example = page.split("//! ```").nth(1).expect("the page has an example");
    let lines = example.lines().skip(1).map(|line| line.trim_start_matches("//!").trim());
    let shown = lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("use "));
    let code = shown.filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join(" ");
    code.split_inclusive("; ").map(|statement| statement.trim().replace(" .", ".")).collect()
}

#[test]
fn from_a_file_to_aws_one_line_changes_and_to_any_other_kms_how_its_kek_is_named() {
    const LIB: &str = include_str!("../../src/lib.rs");
    let local = statements(LIB, "# From a file to a KMS");
    let [kek, keys] = local.as_slice() else { panic!("{local:?}") };
    assert!(kek.starts_with("let kek = LocalKeyring::open("), "{kek}");
    for (source, names) in [
        (include_str!("../../src/kms/aws/mod.rs"), "let kek = AwsKms::from_env("),
        (include_str!("../../src/kms/azure/mod.rs"), "let kek = AzureKms::from_env("),
        (include_str!("../../src/kms/gcp/mod.rs"), "let kek = GcpKms::from_env("),
        (include_str!("../../src/kms/vault/mod.rs"), "let kek = VaultKms::builder("),
    ] {
        let theirs = statements(source, "//!");
        let [kek, same] = theirs.as_slice() else { panic!("{theirs:?}") };
        assert!(kek.starts_with(names), "{kek}");
        assert_eq!(same, keys);
    }
    // A token is opened and closed besides.
    let token = statements(include_str!("../../src/kms/pkcs11/mod.rs"), "//!");
    assert!(token[1].starts_with("let kek = pool.kek(") && token[2] == *keys, "{token:?}");
}
