//! What a second thread gains: wall time of ours, and of the cipher alone, which no program can beat.
//!
//! Only two cores that are to be had can show it. So the process asks for real-time priority, as root gets it, for the
//! seconds that this takes; each row says whether it did, how many cores there were, and how much of their time was needed.

use std::num::NonZeroUsize;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use phi_crypto::ScopedSealer;
use ring::aead::Aad;

use super::{CHUNK, Counted, Generated, LIMIT, key, nonce, place};
use crate::Result;
use crate::crypto::ours::NAME;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

/// Real-time priority of this thread and of those that it begins, until it is dropped.
struct Priority;

impl Priority {
    /// And what the notes say about it.
    fn take() -> (Option<Self>, &'static str) {
        if change(["--fifo", "--pid", "1"]) { (Some(Self), " at real-time priority") } else { (None, " beside others") }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        change(["--other", "--pid", "0"]);
    }
}

/// Through a program that every Linux has: no safe library changes a thread's scheduling. The first thread's number is the
/// process's.
fn change(arguments: [&str; 3]) -> bool {
    let mut chrt = Command::new("chrt");
    chrt.args(arguments).arg(process::id().to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    chrt.status().is_ok_and(|status| status.success())
}

/// One turn of one system.
#[derive(Clone, Copy)]
struct Turn {
    wall: Duration,
    cpu: Duration,
}

impl Turn {
    fn of(work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (begin, cpu) = (Instant::now(), ProcessTime::now());
        work()?;
        Ok(Self { wall: begin.elapsed(), cpu: cpu.elapsed() })
    }
}

pub(super) fn run(report: &mut Report, effort: Effort, sealer: &ScopedSealer) -> Result<()> {
    let (length, name, rounds) = if effort.is_quick() { (256 << 20, "256 MiB", 9) } else { (512 << 20, "512 MiB", 15) };
    let workload = format!("seal {name} on two threads");
    eprintln!("measuring {workload} …");
    let (priority, alone) = Priority::take();
    let mut turns: [[Vec<Turn>; 2]; 2] = Default::default();
    for round in 0..rounds {
        for place in 0..4 {
            let (system, threads) = ((round + place) % 4 / 2, (round + place) % 2);
            turns[system][threads].push(Turn::of(|| match system {
                0 => ours(sealer, length, threads + 1),
                _ => limit(length, threads + 1),
            })?);
        }
    }
    drop(priority);
    for ((system, package), turns) in [(NAME, NAME), (LIMIT, "ring")].into_iter().zip(&mut turns) {
        let [one, two] = turns;
        for (threads, turns) in [("one thread", &mut *one), ("two threads", &mut *two)] {
            turns.sort_by_key(|turn| turn.wall);
            let (median, fastest) = (turns[turns.len() / 2], turns[0]);
            let rate = |turn: Turn| length as f64 / turn.wall.as_secs_f64() / 1e9;
            let cores = median.cpu.as_secs_f64() / median.wall.as_secs_f64();
            let notes = format!(
                "wall time{alone}, median of {rounds}, fastest {:.2}; {cores:.2} cores, {:.0} ms of CPU time",
                rate(fastest),
                median.cpu.as_secs_f64() * 1e3
            );
            let row =
                Row::new(&workload, system, &crate::version(package), threads, rate(median), "GB/s", Better::Higher);
            report.row(row.with_notes(notes));
        }
        let scaling = |at: usize| one[at].wall.as_secs_f64() / two[at].wall.as_secs_f64();
        let (median, fastest) = (scaling(one.len() / 2), scaling(0));
        let metric = "two threads ÷ one, wall time";
        if system == NAME {
            report.bar_at_least(&workload, metric, median, "×", 1.8);
        } else {
            let row = Row::new(&workload, system, &crate::version(package), metric, median, "×", Better::Higher);
            report.row(row.with_notes(format!("of medians; of the fastest {fastest:.2}; what this machine can give")));
        }
    }
    Ok(())
}

fn ours(sealer: &ScopedSealer, length: usize, threads: usize) -> Result<()> {
    let mut file = sealer.file(Counted::default(), &place())?;
    file.seal_from_parallel(Generated(length), NonZeroUsize::new(threads).ok_or("no threads")?)?;
    file.finish()?;
    Ok(())
}

/// Each thread its share of the chunks, with one key and a buffer of its own.
fn limit(length: usize, threads: usize) -> Result<()> {
    let key = key();
    let work = || {
        let mut chunk = vec![0; CHUNK];
        for number in 0..length / CHUNK / threads {
            let tag = key.seal_in_place_separate_tag(nonce(number as u64), Aad::empty(), &mut chunk).expect("short");
            let _ = std::hint::black_box(tag);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    Ok(())
}
