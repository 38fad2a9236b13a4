//! Sealing one file on several threads.

use core::num::NonZeroUsize;
use std::io::{self, Read, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use zeroize::Zeroizing;

use super::FileError;
use super::cobblestone::{CHUNK, Cipher, SEALED_CHUNK};
use super::seal::FileSealer;
use super::sealing::{self, Admission, BATCH};

impl<W: Write + Send> FileSealer<W> {
    /// As [`seal_from`](Self::seal_from), on as many threads, of which the caller's is one. The file is the same as one
    /// thread would write; each thread takes 64 KiB. Threads end before this returns.
    ///
    /// Worth it for fast sources and sinks: each is used by one thread at a time.
    ///
    /// # Errors
    /// [`FileError`]; the file cannot be finished then.
    pub fn seal_from_parallel(&mut self, source: impl Read + Send, threads: NonZeroUsize) -> Result<u64, FileError> {
        let before = self.position();
        self.drain()?;
        self.sealing.seal_full()?;
        self.drain()?;

        let Self { sealing, sink, progress } = self;
        let (cipher, admission) = sealing.shared();
        let mut begun = admission.carried.len();
        let job = Job {
            cipher,
            input: Mutex::new(Input { source, admission, batch: 0, carried: &mut begun, rest: None }),
            output: Mutex::new(Output { sink, progress: progress.as_mut(), turn: 0, failed: None }),
            turned: Condvar::new(),
        };
        thread::scope(|scope| {
            for _ in 1..threads.get() {
                // A thread that cannot be had is one that does not help.
                let _ = thread::Builder::new().name("phi-seal".into()).spawn_scoped(scope, || job.work());
            }
            job.work();
        });
        let Job { input, output, .. } = job;
        let output = output.into_inner().unwrap_or_else(PoisonError::into_inner);
        let input = input.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (failed, rest) = (output.failed, input.rest);
        if let Some(error) = failed {
            return Err(error);
        }
        self.sealing.resume(&rest.unwrap_or_default());
        Ok(self.position() - before)
    }
}

/// What the threads share.
struct Job<'a, R, W> {
    cipher: &'a Cipher,
    input: Mutex<Input<'a, R>>,
    output: Mutex<Output<'a, W>>,
    /// The turn has changed, or there will be no more.
    turned: Condvar,
}

struct Input<'a, R> {
    source: R,
    admission: Admission<'a>,
    /// The place of the next batch in the file.
    batch: u64,
    carried: &'a mut usize,
    /// What did not fill a chunk, once the source has ended.
    rest: Option<Zeroizing<Vec<u8>>>,
}

struct Output<'a, W> {
    sink: &'a mut W,
    progress: Option<&'a mut Box<dyn FnMut(u64) + Send>>,
    /// The batch that the sink takes next.
    turn: u64,
    failed: Option<FileError>,
}

/// One batch that a thread has taken.
struct Taken {
    place: u64,
    first: u64,
    chunks: usize,
}

impl<R: Read, W: Write> Job<'_, R, W> {
    /// Takes batches until there are no more.
    fn work(&self) {
        // A panic of source or sink must not leave the other threads waiting for a turn that never comes.
        let guard = EndOnPanic(self);
        let mut slots = Zeroizing::new(vec![0; BATCH * SEALED_CHUNK]);
        if let Err(error) = self.batches(&mut slots) {
            self.fail(error);
        }
        drop(guard);
    }

    fn batches(&self, slots: &mut [u8]) -> Result<(), FileError> {
        while let Some(Taken { place, first, chunks }) = self.take(slots)? {
            let next = sealing::seal(self.cipher, first, slots, chunks)?;
            let mut output = self.lock();
            while output.turn != place && output.failed.is_none() {
                output = self.turned.wait(output).unwrap_or_else(PoisonError::into_inner);
            }
            if output.failed.is_some() {
                return Ok(());
            }
            output.sink.write_all(slots.get(..chunks * SEALED_CHUNK).unwrap_or_default())?;
            if let Some(progress) = &mut output.progress {
                progress(next * CHUNK as u64);
            }
            output.turn += 1;
            self.turned.notify_all();
        }
        Ok(())
    }

    /// Reads the next batch, which is the last one when it is not full.
    fn take(&self, slots: &mut [u8]) -> Result<Option<Taken>, FileError> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if input.rest.is_some() || self.lock().failed.is_some() {
            return Ok(None);
        }
        let mut filled = core::mem::take(input.carried);
        if let (Some(begin), Some(carried)) = (slots.get_mut(..filled), input.admission.carried.get(..filled)) {
            begin.copy_from_slice(carried);
        }
        while filled < BATCH * CHUNK {
            match input.source.read_vectored(&mut sealing::room(slots, filled)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let chunks = filled / CHUNK;
        if chunks < BATCH {
            let rest = chunks * SEALED_CHUNK..chunks * SEALED_CHUNK + filled % CHUNK;
            input.rest = Some(Zeroizing::new(slots.get(rest).unwrap_or_default().to_vec()));
        }
        if chunks == 0 {
            return Ok(None);
        }
        let (place, first) = (input.batch, input.admission.admit(chunks)?);
        input.batch += 1;
        Ok(Some(Taken { place, first, chunks }))
    }

    fn fail(&self, error: FileError) {
        self.lock().failed.get_or_insert(error);
        self.turned.notify_all();
    }
}

impl<'a, R, W> Job<'a, R, W> {
    fn lock(&self) -> MutexGuard<'_, Output<'a, W>> {
        // Poisoned only by a panic of the sink, after which `failed` is set.
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EndOnPanic<'a, 'b, R, W>(&'a Job<'b, R, W>);

impl<R, W> Drop for EndOnPanic<'_, '_, R, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().failed.get_or_insert(FileError::Io(io::ErrorKind::Other.into()));
            self.0.turned.notify_all();
        }
    }
}
