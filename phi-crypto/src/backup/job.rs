//! Work on a thread that may block, which ends when nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::BackupError;

/// How far a backup, restore or drill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes that there are to do, as far as that was known at the beginning.
    pub total: u64,
}

/// Called with the progress.
pub(super) type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// Reports progress, and says when to stop.
pub(super) struct Meter {
    progress: Option<OnProgress>,
    stopped: Arc<AtomicBool>,
    now: Progress,
}

impl Meter {
    pub(super) fn start(&mut self, total: u64) {
        self.now = Progress { done: 0, total };
        self.report();
    }

    pub(super) fn did(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.now.done += bytes;
        self.report();
        if self.stopped.load(Ordering::Relaxed) { Err(BackupError::Cancelled) } else { Ok(()) }
    }

    fn report(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress(self.now);
        }
    }
}

/// Says stop when the future that waits is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the work on a thread of tokio's for blocking work. Dropping the future stops it within 64 KiB.
pub(super) async fn run<T: Send + 'static>(
    progress: Option<OnProgress>,
    work: impl FnOnce(Meter) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let meter = Meter { progress, stopped: Arc::clone(&stop.0), now: Progress { done: 0, total: 0 } };
    match tokio::task::spawn_blocking(move || work(meter)).await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(BackupError::Cancelled),
        },
    }
}
