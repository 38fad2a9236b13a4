//! Credentials from the environment, in a process that has one of its own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use phi_keys::azure::AzureKms;
use phi_keys::conformance;
use tempfile::NamedTempFile;

use super::{PATIENCE, fact, start};
use crate::child;

const CASE: &str = "PHI_KEYS_TEST_AZURE_ENVIRONMENT";
const KEY: &str = "https://clinic.vault.azure.net/keys/phi-kek";

/// Runs in the child.
#[tokio::test]
async fn child_with_credentials_of_azure() {
    let Ok(case) = std::env::var(CASE) else { return };
    let opened = AzureKms::from_env(KEY);
    match opened {
        Err(error) => assert_eq!(error.kind(), case, "{error:?}"),
        Ok(kms) => {
            conformance::kms(&kms.with_timeout(PATIENCE)).await.unwrap();
            assert_eq!(case, "ok");
        }
    }
}

/// A proxy that leads every connection to the simulator, and tells which host each was for.
fn tunnel(to: String) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut near, _)) = listener.accept() {
            let mut buffer = [0; 4096];
            let read = near.read(&mut buffer).unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned();
            if sender.send(asked).is_err() {
                return;
            }
            let far = TcpStream::connect(&to).unwrap();
            near.write_all(b"HTTP/1.1 200 x\r\n\r\n").unwrap();
            for (mut from, mut to) in
                [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far.try_clone().unwrap(), near)]
            {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (url, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_a_service_principal_of_the_environment_and_checks_its_domain() {
    let azure = start().await;
    let (proxy, asked) = tunnel(azure.url().strip_prefix("https://").unwrap().to_owned());
    let authority = NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), azure.authority_pem().unwrap().unwrap()).unwrap();
    tokio::task::block_in_place(|| {
        child::succeeds("azure::environment::child_with_credentials_of_azure", &|command| {
            command.env("AZURE_TENANT_ID", fact(&azure, "tenant")).env("AZURE_CLIENT_ID", fact(&azure, "client_id"));
            command.env("AZURE_CLIENT_SECRET", fact(&azure, "client_secret")).env("SSL_CERT_FILE", authority.path());
            command.env("HTTPS_PROXY", &proxy).env("NO_PROXY", "").env(CASE, "ok");
        });
    });
    let mut hosts: Vec<String> = asked.try_iter().collect();
    hosts.dedup();
    let connect = |host: &str| format!("CONNECT {host}:443 HTTP/1.1");
    assert!(hosts.contains(&connect("clinic.vault.azure.net")), "{hosts:?}");
    assert!(hosts.contains(&connect("login.microsoftonline.com")), "{hosts:?}");
}

#[test]
fn an_environment_that_holds_no_credentials_of_azure_says_so() {
    child::succeeds("azure::environment::child_with_credentials_of_azure", &|command| {
        command.env("AZURE_TENANT_ID", "not/a tenant").env("AZURE_CLIENT_ID", "x").env("AZURE_CLIENT_SECRET", "x");
        command.env(CASE, "unauthenticated");
    });
    child::succeeds("azure::environment::child_with_credentials_of_azure", &|command| {
        command.env_remove("AZURE_CLIENT_SECRET").env_remove("AZURE_TENANT_ID");
        command.env("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent").env(CASE, "unauthenticated");
    });
}
