//! `cargo xtask fuzz`: libFuzzer on everything that reads bytes from outside.

use std::fs;
use std::process::Command;

use crate::evidence;
use crate::long::{tool, watch};
use crate::shell::{self, Result};

/// When a target has run for long enough, whichever comes first, and how it is built.
struct Campaign {
    seconds: Option<u32>,
    runs: Option<u64>,
    /// These crates have no unsafe code, where AddressSanitizer finds little and takes most of the time.
    plain: bool,
}

impl Campaign {
    fn take(args: &mut Vec<&str>) -> Result<Self> {
        let runs = shell::take_option(args, "--runs")?.map(str::parse).transpose()?;
        let seconds = shell::take_option(args, "--seconds")?.map(str::parse).transpose()?;
        let plain = shell::take_flag(args, "--no-sanitizer");
        Ok(Self { seconds: seconds.or(if runs.is_none() { Some(60) } else { None }), runs, plain })
    }

    fn command(&self, target: &str) -> String {
        let mut command = format!("cargo xtask fuzz {target}");
        if let Some(seconds) = self.seconds {
            command += &format!(" --seconds {seconds}");
        }
        if let Some(runs) = self.runs {
            command += &format!(" --runs {runs}");
        }
        command + if self.plain { " --no-sanitizer" } else { "" }
    }

    fn run(&self, target: &str) -> Result<String> {
        // Through PATH: the cargo that runs this job belongs to the stable toolchain. New inputs go to a folder of their own,
        // the checked-in corpus stays small.
        let found = shell::target().join("fuzz-corpus").join(target);
        fs::create_dir_all(&found)?;
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(shell::root()).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        fuzz.args(["+nightly", "fuzz", "run", "--fuzz-dir", "fuzz", "--features", "libfuzzer"]);
        // Else memory goes back to the kernel after each execution, and a third of an execution on a file is having it back.
        fuzz.env("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824");
        // A folder for each way to build, else one would throw out what the other has compiled.
        let (sanitizer, built) = if self.plain { ("none", "fuzz-plain") } else { ("address", "fuzz") };
        fuzz.args(["--sanitizer", sanitizer, "--target-dir"]).arg(shell::target().join(built));
        fuzz.arg(target).arg(found).arg(format!("fuzz/corpus/{target}"));
        fuzz.args(["--", "-timeout=10", "-max_len=65536"]);
        fuzz.args(self.seconds.map(|seconds| format!("-max_total_time={seconds}")));
        fuzz.args(self.runs.map(|runs| format!("-runs={runs}")));
        let (status, said) = watch(&mut fuzz)?;
        if !status.success() {
            let input = said.lines().find_map(|line| line.split_once("Test unit written to "));
            return Err(input.map_or("the fuzzer did not run".into(), |(_, input)| format!("finding {input}").into()));
        }
        let (runs, seconds) = done(&said).ok_or("libFuzzer reported no executions")?;
        match self.runs {
            Some(asked) if runs < asked => Err(format!("{runs} of {asked} executions in {seconds} s").into()),
            _ => Ok(format!("{runs} executions in {seconds} s, no finding")),
        }
    }
}

/// `cargo xtask fuzz [target…] [--seconds N] [--runs N] [--no-sanitizer]`.
pub(crate) fn main(args: &[&str]) -> Result {
    let mut targets = args.to_vec();
    let campaign = Campaign::take(&mut targets)?;
    let known = targets_of_the_workspace()?;
    if let Some(unknown) = targets.iter().find(|target| !known.iter().any(|name| name == *target)) {
        return Err(format!("there is no fuzz target `{unknown}`; there are {}", known.join(", ")).into());
    }
    tool("fuzz", "0.13.2")?;
    for target in known.iter().filter(|name| targets.is_empty() || targets.contains(&name.as_str())) {
        evidence::record(&format!("fuzz {target}"), &campaign.command(target), campaign.run(target))?;
    }
    Ok(())
}

/// One target for each file; the libFuzzer programs and the replay use the same names.
fn targets_of_the_workspace() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(shell::root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Executions and seconds, of libFuzzer's last line.
fn done(said: &str) -> Option<(u64, u64)> {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("Done "))?;
    let (runs, seconds) = line.split_once(" runs in ")?;
    Some((runs.parse().ok()?, seconds.split_once(' ')?.0.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Campaign, done};

    #[test]
    fn the_last_line_tells_what_was_done() {
        assert_eq!(done("#7 DONE cov: 3\nDone 7 runs in 2 second(s)\n"), Some((7, 2)));
        assert_eq!(done("==1== ERROR: libFuzzer: timeout\n"), None);
    }

    #[test]
    fn a_campaign_without_a_limit_takes_a_minute() {
        let command = |args: &[&str]| Campaign::take(&mut args.to_vec()).unwrap().command("t");
        assert_eq!(command(&[]), "cargo xtask fuzz t --seconds 60");
        assert_eq!(command(&["--runs", "9"]), "cargo xtask fuzz t --runs 9");
        let both = command(&["--no-sanitizer", "--seconds", "5", "--runs", "9"]);
        assert_eq!(both, "cargo xtask fuzz t --seconds 5 --runs 9 --no-sanitizer");
    }
}
