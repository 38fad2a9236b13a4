//! The most memory that is live while a large file is sealed and opened: all of it passes through, nothing is kept.

use std::io;
use std::thread;

use phi_crypto::{ScopedOpener, ScopedSealer};

use super::{Counted, Generated, RANGE, drain, place};
use crate::Result;
use crate::allocations::{self, Allocations};
use crate::crypto::ours::NAME;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

/// 4 MiB.
const BAR: f64 = 4_194_304.0;

/// Seals what a source generates into a pipe, and opens it at the other end. Each thread's allocations are counted for
/// themselves.
pub(super) fn run(report: &mut Report, effort: Effort, sealer: &ScopedSealer, opener: &ScopedOpener) -> Result<()> {
    let (length, name) = if effort.is_quick() { (256 << 20, "256 MiB") } else { (10_usize << 30, "10 GiB") };
    let workload = format!("seal and open a file of {name}");
    eprintln!("measuring {workload} …");
    let (reader, writer) = io::pipe()?;
    let (sealed, opened) = thread::scope(|scope| {
        let sealing = scope.spawn(move || {
            allocations::measure(|| {
                let mut file = sealer.file(writer, &place()).expect("a live lease");
                file.seal_from(Generated(length)).expect("a reader");
                file.finish().expect("a reader");
            })
        });
        let mut buffer = vec![0; RANGE as usize];
        let opened = allocations::measure(|| {
            let mut sink = Counted::default();
            let mut file = opener.file(reader, &place()).expect("a live lease");
            sink.0 += drain(&mut file, &mut buffer);
            assert_eq!(sink.0, length, "what was sealed opens");
        });
        (sealing.join(), opened)
    });
    let sealed = sealed.map_err(|_| "sealing failed")?;
    let version = crate::version(NAME);
    let mut row = |metric: &str, info: &Allocations| {
        let row = Row::new(&workload, NAME, &version, metric, info.most as f64, "B", Better::Lower);
        report.row(row.with_notes(format!("{} allocations", info.count)));
    };
    row("peak live heap of sealing", &sealed);
    row("peak live heap of opening", &opened);
    let both = (sealed.most + opened.most) as f64;
    report.bar(&workload, "peak live heap of both", both, "B", BAR);
    Ok(())
}
