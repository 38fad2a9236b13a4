//! `cargo xtask bench <area> [--quick] [--json FILE] [--check]`.
//!
//! Each area measures our crates, the physical limit and others in one run on one machine, and prints the ratios; no
//! number is worth anything beside one from another run.

mod allocations;
mod crypto;
mod keys;
mod machine;
mod measure;
mod report;

use std::error::Error;
use std::process::ExitCode;

use measure::Effort;

const USAGE: &str = "usage: cargo xtask bench <area> [--quick] [--json FILE] [--check]\nareas: crypto keys";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether the run may count as a success.
fn run(args: Vec<String>) -> Result<bool> {
    let options = Options::parse(args)?;
    let effort = if options.quick { Effort::quick() } else { Effort::full() };
    let mut report = match options.area.as_str() {
        "crypto" => crypto::run(effort)?,
        "keys" => keys::run(effort)?,
        area => return Err(format!("there is no area `{area}`\n{USAGE}").into()),
    };
    machine::describe(&mut report, effort);
    report.finish();
    report.print();
    if let Some(file) = &options.json {
        std::fs::write(file, report.to_json()).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    let missed = report.missed();
    for bar in &missed {
        println!("missed: {bar}");
    }
    Ok(missed.is_empty() || !options.check)
}

struct Options {
    area: String,
    quick: bool,
    json: Option<String>,
    check: bool,
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut options = Self { area: String::new(), quick: false, json: None, check: false };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--check" => options.check = true,
                "--json" => options.json = Some(args.next().ok_or("`--json` needs a file")?),
                _ if options.area.is_empty() && !arg.starts_with('-') => options.area = arg,
                _ => return Err(format!("unknown argument `{arg}`\n{USAGE}").into()),
            }
        }
        if options.area.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }
}

/// The version of a crate in the lock file that this program was built with.
pub(crate) fn version(package: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let found = lock.split("[[package]]").find_map(|entry| {
        let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        (field("name")?.trim_matches('"') == package).then(|| field("version").map(|text| text.trim_matches('"')))?
    });
    found.unwrap_or("not in the lock file").to_owned()
}
