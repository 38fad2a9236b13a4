//! Where time comes from.

use core::fmt;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use crate::Timestamp;

/// A source of time. Every timeout, lease and timestamp of the family asks one, so that tests never sleep.
///
/// The wall clock may be set and may step back; [`monotonic`](Self::monotonic) never goes back within a process, but it
/// may stand still while the machine is suspended. Deadlines that must not be late are therefore checked on both.
///
/// ```
/// use core::time::Duration;
/// use phi_types::{Clock, ManualClock};
///
/// let clock = ManualClock::at_unix_seconds(1_767_225_600);
/// let before = clock.now();
/// clock.advance(Duration::from_secs(900));
/// assert_eq!(clock.now().saturating_since(before), Duration::from_secs(900));
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock, in UTC.
    fn now(&self) -> Timestamp;

    /// Time since a fixed but arbitrary point; never goes back within a process.
    fn monotonic(&self) -> Duration;

    /// [`monotonic`](Self::monotonic) and [`now`](Self::now) as they were a moment ago, for deadlines that are looked at on
    /// every operation: a clock that can be read for less when it may be behind by a tick does so here. A tick is what
    /// the machine needs to notice that time passes, about 10 ms at most.
    fn recent(&self) -> (Duration, Timestamp) {
        (self.monotonic(), self.now())
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn recent(&self) -> (Duration, Timestamp) {
        (**self).recent()
    }
}

/// The operating system's clocks. The only place of the family that reads them.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The operating system's clocks.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one injected source that may ask the operating system")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        use std::time::SystemTime;

        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Timestamp::UNIX_EPOCH.saturating_add(since),
            Err(before) => Timestamp::UNIX_EPOCH.saturating_sub(before.duration()),
        }
    }

    #[cfg(not(all(feature = "coarse-clock", target_os = "linux")))]
    fn monotonic(&self) -> Duration {
        use std::sync::OnceLock;
        use std::time::Instant;

        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    #[cfg(all(feature = "coarse-clock", target_os = "linux"))]
    fn monotonic(&self) -> Duration {
        linux::read(linux::ClockId::Monotonic)
    }

    #[cfg(all(feature = "coarse-clock", target_os = "linux"))]
    fn recent(&self) -> (Duration, Timestamp) {
        linux::recent()
    }
}

/// The clocks of Linux: the coarse ones are what the kernel noted at its last tick, and are read without asking the
/// processor for the time.
#[cfg(all(feature = "coarse-clock", target_os = "linux"))]
mod linux {
    use core::cell::Cell;
    use core::time::Duration;

    pub(super) use rustix::time::ClockId;

    use crate::Timestamp;

    thread_local! {
        /// The tick at which this thread read last.
        static TICK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        /// The wall clock at that tick. Apart from it: a pair would be copied in pieces, for which who reads it waits.
        static WALL: Cell<Timestamp> = const { Cell::new(Timestamp::UNIX_EPOCH) };
    }

    /// Both clocks at the last tick. The kernel moves them together, so the wall clock is read again only when monotonic
    /// time has moved. That lags by no more than the tick itself: when the machine wakes up with the same monotonic time as
    /// it fell asleep with, until the first tick.
    pub(super) fn recent() -> (Duration, Timestamp) {
        let monotonic = read(ClockId::MonotonicCoarse);
        if TICK.get() != monotonic {
            read_wall(monotonic);
        }
        (monotonic, WALL.get())
    }

    #[cold]
    fn read_wall(tick: Duration) {
        WALL.set(Timestamp::UNIX_EPOCH.saturating_add(read(ClockId::RealtimeCoarse)));
        TICK.set(tick);
    }

    /// The time since the clock's origin; zero where it stands before it.
    pub(super) fn read(clock: ClockId) -> Duration {
        let time = rustix::time::clock_gettime(clock);
        // The kernel gives nanoseconds within a second, which fit 32 bits.
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        u64::try_from(time.tv_sec).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanos))
    }
}

/// A clock that stands still until it is told otherwise: for tests, demonstrations and replays.
///
/// Clones share one time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Manual>);

#[derive(Debug)]
struct Manual {
    wall_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `start`, with its monotonic time at zero.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Manual {
            wall_micros: AtomicI64::new(start.as_unix_micros()),
            monotonic_micros: AtomicU64::new(0),
        }))
    }

    /// A clock that stands at `seconds` after the Unix epoch.
    #[must_use]
    pub fn at_unix_seconds(seconds: i64) -> Self {
        Self::new(Timestamp::from_unix_seconds(seconds))
    }

    /// Lets time pass, on the wall and monotonically. Less than a microsecond is dropped.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.monotonic_micros.fetch_add(micros, Ordering::SeqCst);
        self.set(self.now().saturating_add(by));
    }

    /// Steps the wall clock, forward or back, as an administrator or NTP may do; monotonic time does not move.
    pub fn set(&self, now: Timestamp) {
        self.0.wall_micros.store(now.as_unix_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.wall_micros.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.monotonic_micros.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_past_2025_and_does_not_go_back() {
        let clock = SystemClock::new();
        assert!(clock.now() > Timestamp::from_unix_seconds(1_735_689_600));
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[test]
    fn recent_readings_are_behind_by_a_tick_at_most_and_never_ahead() {
        let clock = SystemClock::new();
        let mut last = Duration::ZERO;
        let until = clock.monotonic() + Duration::from_millis(50);
        let (_, first) = clock.recent();
        while clock.monotonic() < until {
            let (monotonic, wall) = clock.recent();
            let (now, wall_now) = (clock.monotonic(), clock.now());
            assert!(monotonic >= last && monotonic <= now && wall <= wall_now, "{last:?} {monotonic:?} {now:?}");
            last = monotonic;
        }
        // Both move, and by as much: a machine under load may notice a tick late, but not by seconds.
        let (monotonic, wall) = clock.recent();
        assert!(clock.monotonic() - monotonic < Duration::from_secs(5));
        assert!(wall.saturating_since(first) >= Duration::from_millis(10), "the wall clock stood still");
        assert!(clock.now().saturating_since(wall) < Duration::from_secs(5));
        assert!(monotonic + Duration::from_secs(5) > until);
    }

    #[test]
    fn a_step_back_leaves_monotonic_time_alone() {
        let clock = ManualClock::at_unix_seconds(1_000);
        clock.advance(Duration::from_secs(60));
        let same = clock.clone();
        same.set(Timestamp::from_unix_seconds(10));
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(10));
        assert_eq!(clock.monotonic(), Duration::from_secs(60));
    }
}
