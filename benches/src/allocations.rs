//! The system's allocator, which counts what a thread allocates while it is asked to.
//!
//! At all other times it costs a look at a flag, so that what allocates takes the time that it takes elsewhere.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one thread allocated.
#[derive(Clone, Copy, Default)]
pub(crate) struct Allocations {
    /// How often.
    pub(crate) count: u64,
    /// The most bytes that lived at once, beyond those that lived before.
    pub(crate) most: i64,
    live: i64,
}

/// Threads that count.
static COUNTING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this thread has counted, while it counts.
    static COUNTED: Cell<Option<Allocations>> = const { Cell::new(None) };
}

/// Counts what the calling thread allocates while it works.
pub(crate) fn measure(work: impl FnOnce()) -> Allocations {
    COUNTED.set(Some(Allocations::default()));
    COUNTING.fetch_add(1, Ordering::SeqCst);
    work();
    COUNTING.fetch_sub(1, Ordering::SeqCst);
    COUNTED.take().unwrap_or_default()
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    #[inline]
    fn note(allocations: u64, bytes: i64) {
        if COUNTING.load(Ordering::Relaxed) > 0 {
            Self::count(allocations, bytes);
        }
    }

    #[cold]
    fn count(allocations: u64, bytes: i64) {
        if let Some(mut counted) = COUNTED.get() {
            counted.count += allocations;
            counted.live += bytes;
            counted.most = counted.most.max(counted.live);
            COUNTED.set(Some(counted));
        }
    }
}

/// As many bytes as an address space has fit.
const fn signed(bytes: usize) -> i64 {
    bytes as i64
}

// SAFETY: every call goes to the system's allocator as it came. What is done beside it neither allocates nor panics: the
// counter is a constant in the thread's own memory, without a destructor, and its sums are of what memory can hold.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(1, signed(layout.size()));
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::note(0, -signed(layout.size()));
        // SAFETY: as the caller's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(1, signed(layout.size()));
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is copied both are there.
        Self::note(1, signed(size));
        Self::note(0, -signed(layout.size()));
        // SAFETY: as the caller's.
        unsafe { System.realloc(memory, layout, size) }
    }
}
