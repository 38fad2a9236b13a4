//! What the run ran on.

use std::fs;
use std::process::Command;

use crate::measure::Effort;
use crate::report::{Better, Report, Row};

/// Adds rows that name the processor, the system and the compiler.
pub(crate) fn describe(report: &mut Report, effort: Effort) {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    };
    let wanted = ["aes", "vaes", "pclmulqdq", "vpclmulqdq", "sha_ni", "avx2", "avx512f"];
    let flags: Vec<&str> = field("flags").split_whitespace().filter(|flag| wanted.contains(flag)).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let row = |system: &str, version: &str, metric: &str, value: f64, unit| {
        Row::new("machine", system, version, metric, value, unit, Better::None)
    };
    let stepping = format!("stepping {}", field("stepping"));
    let processor = row(field("model name"), &stepping, "cores", cores as f64, "");
    report.row(processor.with_notes(format!("{}; {} run", flags.join(" "), effort.name)));
    report.row(row("Linux", kernel.trim(), "memory", memory(), "GiB"));
    let rustc = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let rustc = String::from_utf8_lossy(&rustc);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    report.row(row("rustc", rustc.split_whitespace().nth(1).unwrap_or(""), "load average at the end", load, ""));
}

fn memory() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
    (kib / f64::from(1 << 20)).round()
}
