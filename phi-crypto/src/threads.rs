//! Threads that a batch may use.

use core::num::NonZeroUsize;

/// A batch is divided only into parts of at least this many bytes of plaintext, or this many values: starting a thread
/// costs as much as sealing or opening about a hundred small values.
const LEAST_BYTES: usize = 256 << 10;
const LEAST_VALUES: usize = 512;

/// How many values each thread takes, at most `threads` of them and at least one; `bytes` are those of all values.
pub(crate) fn share(threads: NonZeroUsize, values: usize, bytes: usize) -> NonZeroUsize {
    let worthwhile = (values / LEAST_VALUES).max(bytes / LEAST_BYTES);
    let threads = threads.get().min(worthwhile).max(1);
    NonZeroUsize::new(values.div_ceil(threads)).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_divided_evenly_and_only_when_it_is_worth_a_thread() {
        let share = |threads, values, bytes| share(NonZeroUsize::new(threads).unwrap(), values, bytes).get();
        assert_eq!(share(4, 1023, 0), 1023);
        assert_eq!(share(4, 1024, 0), 512);
        assert_eq!(share(4, 10_001, 0), 2501);
        assert_eq!(share(2, 3, 10 << 20), 2);
        assert_eq!(share(1, 1_000_000, 1 << 30), 1_000_000);
        assert_eq!(share(4, 0, 0), 1);
    }
}
