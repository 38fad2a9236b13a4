//! phi-crypto: fields and index tags, with raw ring as the physical limit.
//!
//! One system is one file here; a workload asks each of them for its contender.

mod limit;

use crate::Result;
use crate::measure::Effort;
use crate::report::Report;

/// Plaintext lengths: an identifier, a note, a document.
const LENGTHS: [(usize, &str); 3] = [(64, "64 B"), (1024, "1 KiB"), (8192, "8 KiB")];

pub(crate) fn run(effort: Effort) -> Result<Report> {
    let mut report = Report::new("crypto", "phi-crypto");
    for (length, name) in LENGTHS {
        report.measure(&format!("seal {name}"), effort, vec![limit::seal(length), limit::seal_random(length)]);
        report.measure(&format!("open {name}"), effort, vec![limit::open(length)]);
    }
    report.measure("index tag of an SSN", effort, vec![limit::hmac(b"123456789")]);
    Ok(report)
}
