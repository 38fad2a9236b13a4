//! phi-crypto: fields and index tags, with raw ring as the physical limit and others beside them.
//!
//! One system is one file here; a workload asks each of them for its contender.

mod cold;
mod files;
mod forked;
mod indexed;
mod limit;
mod ours;
mod peers;
mod reseal;

use cold::Cold;
use ours::Ours;
use peers::Peer as _;
use peers::asherah::Asherah;
use peers::tink::Tink;

use crate::Result;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

/// Plaintext lengths: an identifier, a note, a document.
const LENGTHS: [(usize, &str); 3] = [(64, "64 B"), (1024, "1 KiB"), (8192, "8 KiB")];

/// 10,000 patients of 20 fields, of 64 bytes each.
const COLD: &str = "open 200,000 fields, cold keys";

const STORED: &str = "stored field of 64 B";
const TAG: &str = "index tag of an SSN";

pub(crate) fn run(effort: Effort) -> Result<Report> {
    let mut report = Report::new("crypto", ours::NAME);
    let ours = Ours::new()?;
    let peers = peers::all()?;
    forked::run(&mut report, &ours, &peers)?;
    for (length, name) in LENGTHS {
        let mut seal = vec![ours.seal(length), ours.seal_many(length), ours.seal_pages(length)];
        seal.extend([limit::seal(length), limit::seal_random(length), limit::seal_aws_lc(length)]);
        seal.push(limit::seal_bound(length, ours::aad()?));
        seal.extend(peers.iter().map(|peer| peer.seal(length)));
        report.measure(&format!("seal {name}"), effort, seal);
        let mut open = vec![ours.open(length), limit::open(length), limit::open_aws_lc(length)];
        open.push(limit::open_bound(length, ours::aad()?));
        open.extend(peers.iter().map(|peer| peer.open(length)));
        report.measure(&format!("open {name}"), effort, open);
    }
    report.measure(TAG, effort, vec![ours.tag("123-45-6789"), limit::hmac(b"123456789")]);
    report.measure(COLD, effort.fewer(), Cold::new()?.contenders());
    let overhead = ours.overhead();
    let row = |system: &str, version: &str, overhead: f64, notes: &str| {
        Row::new(STORED, system, version, "overhead", overhead, "B", Better::Lower).with_notes(notes.to_owned())
    };
    report.row(row(ours::NAME, &crate::version(ours::NAME), overhead, ours::NOTES));
    for peer in &peers {
        report.row(row(peer.name(), &peer.version(), peer.overhead(64), peer.notes()));
    }
    bars(&mut report, overhead);
    let (sealer, opener) = ours.handles();
    files::run(&mut report, effort, sealer, opener)?;
    indexed::run(&mut report)?;
    reseal::run(&mut report, effort)?;
    Ok(report)
}

/// What the product promises, as ratios that hold on any machine.
fn bars(report: &mut Report, overhead: f64) {
    let bars = [
        ("seal 64 B", ours::NAME, limit::SEAL_RANDOM, 1.25),
        ("seal 64 B", ours::MANY, limit::SEAL, 2.0),
        ("seal 64 B", ours::MANY, Tink::NAME, 1.0),
        ("open 64 B", ours::NAME, limit::SEAL, 2.2),
        (TAG, ours::NAME, limit::HMAC, 1.5),
    ];
    for (workload, ours, limit, bar) in bars {
        let ratio = report.cpu(workload, ours) / report.cpu(workload, limit);
        report.bar(workload, &format!("{ours} ÷ ({limit})"), ratio, "×", bar);
    }
    // Asherah in the form that can be stored.
    let faster = [("seal 64 B", ours::NAME, 1.7), ("seal 64 B", ours::MANY, 5.0), ("open 64 B", ours::NAME, 4.5)];
    for (workload, ours, bar) in faster {
        let times = report.cpu(workload, Asherah::NAME) / report.cpu(workload, ours);
        report.bar_at_least(workload, &format!("{} ÷ {ours}", Asherah::NAME), times, "×", bar);
    }
    // A million fields in a second, and 600,000 where each needs a message key of its own.
    for (system, bar) in [(cold::SHARED, 1000.0), (cold::OWN, 1e9 / 600_000.0)] {
        let time = report.cpu(COLD, system);
        report.bar(COLD, &format!("CPU time of {system}"), time, "ns", bar);
    }
    report.bar(STORED, "overhead", overhead, "B", 57.0);
}
