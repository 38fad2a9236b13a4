//! Medians of interleaved runs, in CPU time of the measuring thread.
//!
//! On a machine that others use as well, wall-clock time would measure the neighbours, and one contender after the other would
//! measure whatever changed in between. So the contenders take turns, in an order that rotates, and each turn is long
//! enough for the clock. What works on several threads is measured in CPU time of the whole process instead.
//!
//! Where the stack lies beside the heap, and with it what the processor takes for a dependency, is the operating system's
//! draw for each process and worth a tenth of what sealing a field takes. So every round is at another place in the stack,
//! and the median is over the places.

use std::time::Duration;

use cpu_time::{ProcessTime, ThreadTime};

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// What a person calls it.
    pub(crate) name: &'static str,
    rounds: usize,
    turn: Duration,
}

impl Effort {
    /// Seconds: good for a look, and for finding out whether a bar is missed by far.
    pub(crate) const fn quick() -> Self {
        Self { name: "quick", rounds: 31, turn: Duration::from_millis(2) }
    }

    /// A tenth of the rounds, for work of which one call takes longer than many turns.
    pub(crate) const fn fewer(self) -> Self {
        Self { rounds: self.rounds / 10, ..self }
    }

    /// Whether this is for a look only.
    pub(crate) fn is_quick(self) -> bool {
        self.name == Self::quick().name
    }

    /// Minutes: for numbers that are published.
    pub(crate) const fn full() -> Self {
        Self { name: "full", rounds: 201, turn: Duration::from_millis(5) }
    }
}

/// Whose CPU time counts.
#[derive(Clone, Copy)]
enum Clock {
    Thread,
    Process,
}

/// One system at one workload.
pub(crate) struct Contender<'a> {
    pub(crate) system: &'static str,
    pub(crate) version: String,
    /// What the system does for its time, and what it does not.
    pub(crate) notes: &'static str,
    /// How many items one call handles; times are for one item.
    items: u32,
    clock: Clock,
    call: Box<dyn FnMut(u32) + 'a>,
}

impl<'a> Contender<'a> {
    /// `once` does the work once and hands back something that depends on it, so that no compiler can leave it out.
    pub(crate) fn new<T>(
        system: &'static str,
        version: String,
        notes: &'static str,
        mut once: impl FnMut() -> T + 'a,
    ) -> Self {
        let call = Box::new(move |times| {
            for _ in 0..times {
                std::hint::black_box(once());
            }
        });
        Self { system, version, notes, items: 1, clock: Clock::Thread, call }
    }

    /// A call that handles a batch.
    pub(crate) fn items(mut self, items: u32) -> Self {
        self.items = items;
        self
    }

    /// A call that other threads work for.
    pub(crate) fn whole_process(mut self) -> Self {
        self.clock = Clock::Process;
        self
    }

    fn turn(&mut self, calls: u32) -> Duration {
        match self.clock {
            Clock::Thread => {
                let begin = ThreadTime::now();
                (self.call)(calls);
                begin.elapsed()
            }
            Clock::Process => {
                let begin = ProcessTime::now();
                (self.call)(calls);
                begin.elapsed()
            }
        }
    }

    /// Enough calls for one turn, found by doubling; this warms every cache too.
    fn calibrate(&mut self, turn: Duration) -> u32 {
        let mut calls = 1;
        while self.turn(calls) < turn && calls < 1 << 30 {
            calls *= 2;
        }
        calls
    }
}

/// CPU nanoseconds for one item.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

/// As many frames of [`lower`] as are longer than a page together.
const FRAMES: usize = 31;
/// How many frames more or fewer the next round has; it shares no factor with their number, so that as many rounds use all.
const STEP: usize = 11;

/// Works so many frames lower in the stack.
#[inline(never)]
fn lower(frames: usize, work: &mut dyn FnMut() -> Duration) -> Duration {
    let frame = [0_u8; 112];
    std::hint::black_box(&frame);
    let time = if frames == 0 { work() } else { lower(frames - 1, work) };
    std::hint::black_box(&frame);
    time
}

/// Measures the contenders against each other, in the order given.
pub(crate) fn interleaved(contenders: &mut [Contender<'_>], effort: Effort) -> Vec<Timing> {
    let calls: Vec<u32> = contenders.iter_mut().map(|contender| contender.calibrate(effort.turn)).collect();
    let mut samples = vec![Vec::with_capacity(effort.rounds); contenders.len()];
    for round in 0..effort.rounds {
        for place in 0..contenders.len() {
            let at = (round + place) % contenders.len();
            let time = lower(round * STEP % FRAMES, &mut || contenders[at].turn(calls[at]));
            samples[at].push(time.as_nanos() as f64 / f64::from(calls[at]) / f64::from(contenders[at].items));
        }
    }
    samples.into_iter().map(timing).collect()
}

fn timing(mut samples: Vec<f64>) -> Timing {
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
    Timing { median: at(0.5), p99: at(0.99) }
}
