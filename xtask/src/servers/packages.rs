//! Packages of the distribution (Debian, Ubuntu).

use std::collections::BTreeSet;
use std::process::Command;

use super::place::is_root;
use crate::shell::{self, Result};

/// The command that would install `packages`, for people.
pub(crate) fn command(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install -y {}", packages.join(" "))
}

/// Installs `packages` where this process may; nothing to do for none.
pub(crate) fn install(packages: &BTreeSet<&str>) -> Result {
    if packages.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = packages.iter().copied().collect();
    let mend = || format!("cannot install {}; run: {}", packages.join(", "), command(&packages));
    if shell::find("apt-get", &[]).is_none() {
        return Err(format!("{} (or what your distribution calls them)", mend()).into());
    }
    println!("installing {} …", packages.join(", "));
    shell::output(&mut apt(&["update"])).map_err(|error| format!("{}\n{error}", mend()))?;
    let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
    shell::output(install.args(&packages)).map_err(|error| format!("{}\n{error}", mend()))?;
    Ok(())
}

fn apt(args: &[&str]) -> Command {
    // Another package manager may hold the lock for a while on a fresh machine.
    let apt = ["-q", "-o", "DPkg::Lock::Timeout=300"];
    let mut command = if is_root() { Command::new("env") } else { Command::new("sudo") };
    if !is_root() {
        command.args(["-n", "env"]);
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(apt).args(args);
    command
}
