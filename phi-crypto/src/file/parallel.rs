//! Sealing one file on several threads.

use core::num::NonZeroUsize;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use zeroize::Zeroizing;

use super::FileError;
use super::cobblestone::{CHUNK, Cipher, SEALED_CHUNK};
use super::seal::FileSealer;
use super::sealing::{self, Admission, Slots};

/// Chunks that a thread seals between two looks at the others: long enough that waking one is little beside it, and short
/// enough for a processor's own cache.
const BATCH: usize = 16;

impl<W: Write + Send> FileSealer<W> {
    /// As [`seal_from`](Self::seal_from), on as many threads, of which the caller's is one. The file is the same as one
    /// thread would write; each thread takes 512 KiB. Threads end before this returns.
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
            output: Mutex::new(Output { sink, progress: progress.as_mut() }),
            state: Mutex::new(State {
                turn: 0,
                done: BTreeMap::new(),
                spare: Vec::new(),
                writing: false,
                failed: None,
            }),
            changed: Condvar::new(),
        };
        thread::scope(|scope| {
            for _ in 1..threads.get() {
                // A thread that cannot be had is one that does not help.
                let _ = thread::Builder::new().name("phi-seal".into()).spawn_scoped(scope, || job.work());
            }
            job.work();
        });
        let Job { input, state, .. } = job;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let input = input.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (failed, rest) = (state.failed, input.rest);
        if let Some(error) = failed {
            return Err(error);
        }
        self.sealing.resume(&rest.unwrap_or_default());
        Ok(self.position() - before)
    }
}

/// What the threads share. A thread holds at most one of the locks, but for a look at the state while it reads.
struct Job<'a, R, W> {
    cipher: &'a Cipher,
    input: Mutex<Input<'a, R>>,
    /// Locked by the thread that [is writing](State::writing) alone.
    output: Mutex<Output<'a, W>>,
    state: Mutex<State>,
    /// A buffer was given back, or there will be no more.
    changed: Condvar,
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
}

struct State {
    /// The place of the batch that the sink takes next.
    turn: u64,
    /// Sealed batches that the sink has not taken, by their places.
    done: BTreeMap<u64, Sealed>,
    /// Buffers of batches that the sink took.
    spare: Vec<Slots>,
    /// Whether a thread is handing batches to the sink.
    writing: bool,
    failed: Option<FileError>,
}

struct Sealed {
    slots: Slots,
    chunks: usize,
    /// The number of the chunk behind it.
    next: u64,
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
        // A panic of source or sink must not leave the other threads waiting for a buffer that never comes.
        let guard = EndOnPanic(self);
        // Two buffers for each thread: one is sealed while the other waits for its turn.
        self.lock().spare.push(Slots::of(BATCH));
        if let Err(error) = self.batches(Slots::of(BATCH)) {
            self.fail(error);
        }
        drop(guard);
    }

    fn batches(&self, mut slots: Slots) -> Result<(), FileError> {
        while let Some(Taken { place, first, chunks }) = self.take(&mut slots)? {
            let next = sealing::seal(self.cipher, first, &mut slots, chunks)?;
            match self.hand_over(place, Sealed { slots, chunks, next })? {
                Some(spare) => slots = spare,
                None => break,
            }
        }
        Ok(())
    }

    /// Leaves a sealed batch to be written, by this thread when its turn has come and nobody is writing, and takes another
    /// buffer; `None` when somebody has failed.
    fn hand_over(&self, place: u64, sealed: Sealed) -> Result<Option<Slots>, FileError> {
        let mut state = self.lock();
        state.done.insert(place, sealed);
        while !state.writing && state.failed.is_none() {
            let turn = state.turn;
            let Some(batch) = state.done.remove(&turn) else { break };
            state.writing = true;
            drop(state);
            self.write(&batch)?;
            state = self.lock();
            (state.writing, state.turn) = (false, turn + 1);
            state.spare.push(batch.slots);
            self.changed.notify_one();
        }
        loop {
            if state.failed.is_some() {
                return Ok(None);
            }
            if let Some(spare) = state.spare.pop() {
                return Ok(Some(spare));
            }
            // All others are sealed or about to be, and whoever has the next turn gives one back.
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, batch: &Sealed) -> Result<(), FileError> {
        // Poisoned only by a panic of the sink, after which nobody writes any more.
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.sink.write_all(batch.slots.get(..batch.chunks * SEALED_CHUNK).unwrap_or_default())?;
        if let Some(progress) = &mut output.progress {
            progress(batch.next * CHUNK as u64);
        }
        Ok(())
    }

    /// Reads the next batch, which is the last one when it is not full.
    fn take(&self, slots: &mut Slots) -> Result<Option<Taken>, FileError> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if input.rest.is_some() {
            return Ok(None);
        }
        let mut filled = core::mem::take(input.carried);
        if let (Some(begin), Some(carried)) = (slots.get_mut(..filled), input.admission.carried.get(..filled)) {
            begin.copy_from_slice(carried);
        }
        slots.used(BATCH * SEALED_CHUNK);
        while filled < BATCH * CHUNK {
            if self.lock().failed.is_some() {
                return Ok(None);
            }
            match input.source.read_vectored(&mut sealing::room(slots, filled)) {
                Ok(0) => break,
                // No more than there was room for, whatever the source claims.
                Ok(read) => filled = filled.saturating_add(read).min(BATCH * CHUNK),
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
        self.changed.notify_all();
    }
}

impl<R, W> Job<'_, R, W> {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EndOnPanic<'a, 'b, R, W>(&'a Job<'b, R, W>);

impl<R, W> Drop for EndOnPanic<'_, '_, R, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().failed.get_or_insert(FileError::Io(io::ErrorKind::Other.into()));
            self.0.changed.notify_all();
        }
    }
}
