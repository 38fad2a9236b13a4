//! Credentials from the environment, in a process that has one of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use phi_keys::Kms;
use phi_keys::gcp::GcpKms;
use serde_json::json;

use crate::child;
use crate::wire::server;

const KEY: &str = "projects/clinic/locations/europe-west3/keyRings/phi/cryptoKeys/kek";
const CASE: &str = "PHI_KEYS_TEST_GCP_ENVIRONMENT";

/// Runs in the child.
#[tokio::test]
async fn child_with_credentials_of_google() {
    let Ok(case) = std::env::var(CASE) else { return };
    let opened = GcpKms::from_env(KEY).await;
    let error = match opened {
        Ok(kms) => kms.status().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), case, "{error:?}");
    assert!(!format!("{error:?}").contains("a refresh token"), "{error:?}");
}

/// Serves one connection of a proxy that forwards nothing, and tells where it was to lead.
fn proxy() -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        stream.write_all(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap().to_owned()
    });
    (url, asked)
}

#[test]
fn gcp_takes_the_application_default_credentials() {
    let (token_uri, tokens) =
        server(vec![(200, json!({ "access_token": "a token", "expires_in": 3600, "token_type": "Bearer" }))]);
    let (proxy, asked) = proxy();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    let credentials = json!({ "type": "authorized_user", "client_id": "a client", "client_secret": "a client's secret",
        "refresh_token": "a refresh token", "token_uri": token_uri });
    std::fs::write(&file, credentials.to_string()).unwrap();
    child::succeeds("gcp::environment::child_with_credentials_of_google", &|command| {
        command.env("GOOGLE_APPLICATION_CREDENTIALS", &file);
        command.env("HTTPS_PROXY", &proxy).env("NO_PROXY", "127.0.0.1").env(CASE, "unavailable");
    });
    assert_eq!(tokens.recv().unwrap().body["refresh_token"], "a refresh token");
    assert_eq!(asked.join().unwrap(), "CONNECT cloudkms.googleapis.com:443 HTTP/1.1");
}

#[test]
fn credentials_of_google_that_cannot_be_read_are_told_from_a_missing_network() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, "no JSON: a refresh token").unwrap();
    for file in [file, folder.path().join("missing.json")] {
        child::succeeds("gcp::environment::child_with_credentials_of_google", &|command| {
            command.env("GOOGLE_APPLICATION_CREDENTIALS", &file).env(CASE, "unauthenticated");
        });
    }
}
