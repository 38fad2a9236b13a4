//! Jobs that take longer than continuous integration may; each leaves its row in EVIDENCE.md.

use std::process::{Command, ExitStatus, Stdio};

use crate::evidence;
use crate::metadata::{self, Metadata};
use crate::servers::packages;
use crate::shell::{self, Result};

/// cargo-deny reads `deny.toml`. Advisories need a database from the network and are left to whoever has one.
pub(crate) fn deny() -> Result {
    let command = "cargo xtask deny";
    evidence::record("deny", command, tool("deny", "0.20.2").and_then(|()| run_deny()))
}

fn run_deny() -> Result<String> {
    let mut deny = shell::cargo();
    deny.args([
        "deny",
        "--offline",
        "--all-features",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]);
    let said = watched(&mut deny)?;
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}

/// `cargo xtask crash [--iterations N]`: the crash smoke of the tests, for much longer.
pub(crate) fn crash(args: &[&str]) -> Result {
    let mut args = args.to_vec();
    let iterations: u32 = shell::take_option(&mut args, "--iterations")?.unwrap_or("500").parse()?;
    if !args.is_empty() {
        return Err("usage: cargo xtask crash [--iterations N]".into());
    }
    let command = format!("cargo xtask crash --iterations {iterations}");
    evidence::record("crash", &command, run_crash(iterations))
}

fn run_crash(iterations: u32) -> Result<String> {
    for (package, tests) in [("phi-audit", "crash"), ("phi-crypto", "reseal::kill")] {
        let mut test = shell::cargo();
        let features = metadata::feature_args(&Metadata::members_only()?, &|name| name == package);
        test.args(["test", "-p", package]).args(features).args(["--locked", "--test", "it", "--", tests]);
        let said = watched(test.env("PHI_TEST_CRASH_ITERATIONS", iterations.to_string()))?;
        let passed = said.lines().any(|line| line.starts_with("test result: ok. ") && !line.contains("ok. 0 passed"));
        if !passed {
            return Err(format!("no crash test of {package} ran").into());
        }
    }
    Ok(format!("{iterations} kills of each, nothing acknowledged was lost and nothing is unreadable"))
}

/// The crates on the AWS-LC FIPS module, which CMake, Go and Perl build.
pub(crate) fn fips() -> Result {
    let missing = [("cmake", "cmake"), ("go", "golang-go"), ("perl", "perl"), ("cc", "gcc"), ("c++", "g++")];
    let missing = missing.into_iter().filter(|(program, _)| shell::find(program, &[]).is_none());
    packages::install(&missing.map(|(_, package)| package).collect())?;
    evidence::record("fips", "cargo xtask fips", run_fips())
}

fn run_fips() -> Result<String> {
    let deny_warnings = ["--", "-D", "warnings"];
    // Everything in one folder: the module takes a minute to build, and is the same for both workspaces.
    let cargo = || {
        let mut cargo = shell::cargo();
        // Else an AWS-LC of the system is linked, where there is one, and not the release that the lock file stands for.
        cargo.env("AWS_LC_FIPS_SYS_USE_SYSTEM", "0");
        cargo
    };
    let beside = |job: &str| {
        let mut cargo = cargo();
        cargo.args([job, "--manifest-path", "fips/Cargo.toml", "--locked", "--target-dir"]).arg(shell::target());
        cargo
    };
    shell::run(beside("clippy").arg("--all-targets").args(deny_warnings))?;
    let services = passed(&watched(&mut beside("test"))?, "no test ran on the module")?;
    let said = watched(beside("test").args(["--", "module::", "--nocapture"]))?;
    let release =
        said.lines().find_map(|line| line.split_once("library release ")).ok_or("the module has no release")?.1;
    // The unit tests of both crates, of which those of vectors and formats run on every backend of the build. One crate at a
    // time: with the features of both, more would be built than either has.
    let mut units = 0;
    for (package, features) in [("phi-keys", "fips"), ("phi-crypto", "fips,derive,nfkc,serde,tokio")] {
        let of = |job: &str| {
            let mut cargo = cargo();
            cargo.args([job, "-p", package, "--features", features, "--lib", "--locked"]);
            cargo
        };
        shell::run(of("clippy").args(deny_warnings))?;
        units += passed(&watched(&mut of("test"))?, "no unit test ran")?;
    }
    Ok(format!(
        "AWS-LC-FIPS, library release {release}: {services} tests of services, refusals and both directions, and {units} unit tests of a build with both backends, ok"
    ))
}

/// How many tests of a run passed.
fn passed(said: &str, none: &'static str) -> Result<usize> {
    match said.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok")).count() {
        0 => Err(none.into()),
        passed => Ok(passed),
    }
}

/// Installs a cargo subcommand unless one is there already.
pub(crate) fn tool(name: &str, version: &str) -> Result {
    if shell::output(Command::new("cargo").args([name, "--version"])).is_ok() {
        return Ok(());
    }
    let package = format!("cargo-{name}@{version}");
    shell::run(shell::cargo().args(["install", "--locked", &package]))
        .map_err(|error| format!("{error}; run: cargo install --locked {package}").into())
}

/// Runs a command, shows all that it says and returns it; a non-zero exit is an error.
pub(crate) fn watched(command: &mut Command) -> Result<String> {
    let (status, said) = watch(command)?;
    if status.success() { Ok(said) } else { Err(format!("`{}` failed ({status})", shell::show(command)).into()) }
}

/// Runs a command and shows all that it says.
pub(crate) fn watch(command: &mut Command) -> Result<(ExitStatus, String)> {
    use std::io::{BufRead as _, BufReader};

    println!("$ {}", shell::show(command));
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().map_err(|error| format!("cannot run `{}`: {error}", shell::show(command)))?;
    // The command holds the writing ends: without this the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut said = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        said.push_str(&line);
        said.push('\n');
    }
    Ok((child.wait()?, said))
}
