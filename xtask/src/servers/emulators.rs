//! Two emulators of AWS, because each has gaps where the other has none.

use std::process::Command;

use super::place::{self, Folder};
use super::python::EMULATORS;
use super::supervise::Supervised;
use super::{Running, http, python};
use crate::shell::Result;

const ANSWERED: &str = "kms:ListKeys";

pub(super) fn moto() -> Result<Running> {
    start("moto", "PHI_TEST_MOTO_URL", |port| {
        let mut command = Command::new(python::program(&python::folder(EMULATORS), "python"));
        command.arg(python::program(&python::folder(EMULATORS), "moto_server")).args([
            "-H",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]);
        command
    })
}

pub(super) fn ministack() -> Result<Running> {
    start("ministack", "PHI_TEST_MINISTACK_URL", |port| {
        let mut command = Command::new(python::program(&python::folder(EMULATORS), "python"));
        // It would listen on every address of the machine without BIND_HOST.
        command.arg(python::program(&python::folder(EMULATORS), "ministack"));
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
        command
    })
}

fn start(name: &str, variable: &'static str, command: impl Fn(u16) -> Command) -> Result<Running> {
    python::make(EMULATORS)?;
    let guard_and_port = place::with_port(|port| {
        let folder = Folder::new(name)?;
        let mut command = command(port);
        command.env("HOME", folder.path()).env("TMPDIR", folder.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let guard = Supervised::start(folder, Some(&command))?;
        guard.wait(|| list_keys(port))?;
        Ok((guard, port))
    });
    let (guard, port) = guard_and_port?;
    let place = format!("127.0.0.1:{port}, started for this run");
    let environment = vec![(variable, format!("http://127.0.0.1:{port}"))];
    Ok(Running {
        version: python::version(EMULATORS, name)?,
        place,
        answered: ANSWERED,
        environment,
        _guard: Some(guard),
    })
}

/// Neither emulator checks signatures, but both read the service from the credential's scope.
fn list_keys(port: u16) -> Result {
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", "TrentService.ListKeys"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let (status, body) = http::post(port, &headers, "{}")?;
    if status == 200 && body.contains("\"Keys\"") {
        Ok(())
    } else {
        Err(format!("{ANSWERED} was answered with status {status}").into())
    }
}
