//! The command line.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

fn kms_sim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kms-sim"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn it_prints_its_facts_as_one_line_and_ends_with_its_standard_input() {
    for (word, scheme, facts) in [
        ("vault", "http://127.0.0.1:", &["root_token", "token", "role_id", "secret_id", "kubernetes_jwt", "key"][..]),
        ("gcp", "http://127.0.0.1:", &["token", "key", "other_key", "key_ring"]),
        ("azure", "https://127.0.0.1:", &["tenant", "client_id", "client_secret", "token", "ca_file", "key"]),
        ("azure-hsm", "https://127.0.0.1:", &["tenant", "oct_key", "ca_file"]),
    ] {
        let mut child = kms_sim(&[word, "--port", "0", "--until-stdin-closes"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let printed: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(printed["service"], word);
        assert!(printed["url"].as_str().unwrap().starts_with(scheme));
        for fact in facts {
            assert!(printed[fact].as_str().is_some_and(|text| !text.is_empty()), "{word}: {fact}");
        }
        drop(child.stdin.take());
        assert!(child.wait().await.unwrap().success());
        if let Some(file) = printed["ca_file"].as_str() {
            assert!(!std::path::Path::new(file).exists(), "the certificate file goes with the simulator");
        }
    }
}

#[tokio::test]
async fn it_refuses_what_it_does_not_understand() {
    for arguments in [&[][..], &["aws"], &["vault", "--port", "high"], &["gcp", "--loud"]] {
        let output = kms_sim(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: kms-sim"));
    }
}
