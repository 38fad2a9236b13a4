//! What a fork does to nonces: a process that has sealed is duplicated, and parent and child go on with the same values.
//!
//! The same key and nonce for the same value give the same bytes, so whatever both of them made is a repetition.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use fork::Fork;

use super::ours::{self, Ours};
use super::peers::Fields;
use crate::Result;
use crate::report::{Better, Report, Row};

const WORKLOAD: &str = "values sealed after fork()";
/// Values that each of the two seals. All of one system fit into a pipe that nobody reads yet.
const EACH: usize = 32;
/// Bytes of each plaintext; two different ones under one key and nonce give away their difference.
const LENGTH: usize = 64;
/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of the signal that nothing survives, on every Unix.
const KILL: i32 = 9;

/// While the process has one thread: a child has no other, and whatever others held stays locked.
pub(super) fn run(report: &mut Report, ours: &Ours, peers: &[Box<dyn Fields>]) -> Result<()> {
    eprintln!("forking …");
    let repeated = repetitions(|| ours.cipher_bytes(LENGTH))?;
    report.row(row(ours::NAME, &crate::version(ours::NAME), repeated));
    report.bar(WORKLOAD, "repeated keys and nonces", repeated, "", 0.0);
    for peer in peers {
        report.row(row(peer.name(), &peer.version(), repetitions(|| peer.cipher_bytes(LENGTH))?));
    }
    Ok(())
}

fn row(system: &str, version: &str, repeated: f64) -> Row {
    let notes = format!("values of {EACH} that the child sealed to the same bytes as its parent");
    Row::new(WORKLOAD, system, version, "repeated keys and nonces", repeated, "", Better::Lower).with_notes(notes)
}

/// How many of the child's values its parent made as well.
fn repetitions(seal: impl Fn() -> Vec<u8>) -> Result<f64> {
    // Whatever generates keys and nonces has begun when the process is duplicated.
    drop(seal());
    let values = || (0..EACH).map(|_| seal()).collect::<Vec<_>>();
    let (mut reader, mut writer) = io::pipe()?;
    let child = match fork::fork()? {
        Fork::Child => {
            // Whatever happens, the child does not go on with what its parent has to do.
            let made = panic::catch_unwind(AssertUnwindSafe(values)).unwrap_or_default();
            let framed: Vec<u8> = made.iter().flat_map(|value| [&length(value)[..], value].concat()).collect();
            let written = writer.write_all(&framed);
            std::process::exit(written.is_err().into());
        }
        Fork::Parent(child) => child,
    };
    drop(writer);
    let parents: HashSet<Vec<u8>> = values().into_iter().collect();
    let begin = Instant::now();
    while fork::waitpid_nohang(child)?.is_none() {
        if begin.elapsed() > PATIENCE {
            fork::signal_process(fork::ProcessId::try_from(child)?, fork::Signal::try_from(KILL)?)?;
            fork::waitpid(child)?;
            return Err("a child that was forked does not end".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut repeated = 0_u32;
    for _ in 0..EACH {
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let mut value = vec![0; u32::from_be_bytes(length) as usize];
        reader.read_exact(&mut value)?;
        repeated += u32::from(parents.contains(&value));
    }
    Ok(f64::from(repeated))
}

/// What is written before a value.
fn length(value: &[u8]) -> [u8; 4] {
    (value.len() as u32).to_be_bytes()
}
