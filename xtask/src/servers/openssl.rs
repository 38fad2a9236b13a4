//! OpenSSL's command line: the other end of TLS handshakes, and the certificate of a test's database.

use std::path::Path;
use std::process::Command;

use super::{Running, program};
use crate::shell::{self, Result};

const TOOL: &str = "openssl";

pub(super) fn missing() -> Vec<&'static str> {
    if shell::find(TOOL, &[]).is_some() { Vec::new() } else { vec![TOOL] }
}

pub(super) fn provide() -> Result<Running> {
    let tool = program(TOOL, &[], TOOL)?;
    // "OpenSSL 3.0.19 27 Jan 2026 (Library: …)"
    let version = shell::output(Command::new(&tool).arg("version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
    Ok(Running {
        version,
        place: tool.display().to_string(),
        answered: "version",
        environment: vec![("PHI_TEST_OPENSSL", tool.display().to_string())],
        _guard: None,
    })
}

/// Makes `server.crt` and `server.key` for the loopback in `folder`, with `command` as the one that runs a program.
pub(super) fn certificate(folder: &Path, command: impl FnOnce(&Path) -> Command) -> Result {
    let tool = program(TOOL, &[], TOOL)?;
    let configuration = folder.join("server.cnf");
    let text = "[req]\ndistinguished_name = name\nx509_extensions = use\nprompt = no\n[name]\nCN = phi-test\n[use]\n\
                basicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1, DNS:localhost\n\
                extendedKeyUsage = serverAuth\n";
    std::fs::write(&configuration, text)?;
    let mut request = command(&tool);
    request.current_dir(folder).args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec"]);
    request.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config"]).arg(configuration);
    shell::output(request.args(["-keyout", "server.key", "-out", "server.crt"]))?;
    Ok(())
}
