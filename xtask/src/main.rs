//! Every job of the project as one command: `cargo xtask <job>`.
//!
//! A job of the continuous integration is a job here, so that a person can run the very thing that failed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks through its output")]

mod bench;
mod checks;
mod ci;
mod evidence;
mod fuzz;
mod live;
mod long;
mod loom;
mod metadata;
mod mutants;
mod report;
mod servers;
mod shell;
mod test;

use std::process::ExitCode;

use shell::Result;

const USAGE: &str = "\
usage: cargo xtask <job>

  test [area…] [--without part,…]   run the tests, with the servers they need
         areas: types keys derive crypto audit session redact examples (none: everything)
         parts: postgres redis softhsm moto ministack sdk openssl python
  ci                                fmt, clippy, docs, features, rules, deps, loom, test
  fmt | clippy | docs | features | rules
                                    one of these alone
  deps                              dependency counts against their budgets
  loom                              every interleaving of the key cache's locks
  bench <area> [--quick] [--esdk] [--json FILE] [--check]
                                    benchmarks; --esdk adds the AWS Encryption SDK, --check fails on a missed bar

long, for developers; each writes its row into EVIDENCE.md:
  deny                              cargo-deny: bans, licences, sources
  fuzz [target…] [--seconds N] [--runs N] [--no-sanitizer]
                                    libFuzzer on a nightly toolchain, each target for so long (60 s) or so many executions
  mutants [area…]                   cargo-mutants on the crates' format modules
  live <provider>                   the suites of `Kms` against a real account that the environment names
         providers: aws gcp azure vault pkcs11
  crash [--iterations N]            kill −9 loops of the audit log and of a re-encryption
  fips                              phi-keys and phi-crypto on the AWS-LC FIPS module
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result {
    let Some((job, rest)) = args.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    match (*job, rest) {
        ("test", rest) => test::main(rest),
        ("bench", rest) => bench::main(rest),
        ("ci", []) => ci::all(),
        ("fmt", []) => ci::fmt(),
        ("clippy", []) => ci::clippy(),
        ("docs", []) => ci::docs(),
        ("features", []) => checks::features::main(),
        ("rules", []) => checks::rules(),
        ("deps", []) => checks::deps::main(),
        ("loom", []) => loom::main(),
        ("deny", []) => long::deny(),
        ("fuzz", rest) => fuzz::main(rest),
        ("mutants", rest) => mutants::main(rest),
        ("crash", rest) => long::crash(rest),
        ("live", rest) => live::main(rest),
        ("fips", []) => long::fips(),
        (servers::supervise::JOB, rest) => servers::supervise::main(rest),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown job or argument: `{}`\n\n{USAGE}", args.join(" ")).into()),
    }
}
