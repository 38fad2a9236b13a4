//! Sealing a file through `Write`.

use core::fmt;
use std::io::{self, Read, Write};

use phi_keys::{DataKey, KeyId};

use super::sealing::Sealing;
use super::{FileError, Renewal};
use crate::{Context, ScopedSealer};

/// Seals what is written into it, and writes the sealed file to a sink. Finish it: a file that was not finished is
/// refused by every reader.
///
/// It takes 112 KiB of memory whatever the length of the file, writes each byte once and in order, and neither seeks nor
/// resumes. Nothing leaves it after the process was forked.
///
/// **Lease.** The lease of the key is asked before each batch of chunks (112 KiB). When it has ended, `write` answers
/// [`FileError::LeaseEnded`] having taken nothing. Go on after [`renew`](Self::renew), or let it renew itself:
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// use std::io::Write as _;
/// use phi_crypto::{Context, Sealer};
/// use phi_keys::Scope;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// let sealer = Sealer::builder(keys).build().for_scope(&Scope::group("scans")).await?;
/// let runtime = tokio::runtime::Handle::current();
/// let sealed = tokio::task::spawn_blocking(move || {
///     let mut file = sealer.file(Vec::new(), &Context::new("Scan", "image").record_id("7431"))?;
///     file.renew_with(move |renewal| runtime.block_on(renewal));
///     file.write_all(&[7; 100_000])?;
///     file.finish()
/// });
/// assert_eq!(sealed.await??.len(), 80 + 100_000 + 7 * 16);
/// # Ok(()) }
/// ```
pub struct FileSealer<W> {
    pub(super) sealing: Sealing,
    pub(super) sink: W,
    pub(super) progress: Option<Box<dyn FnMut(u64) + Send>>,
}

impl ScopedSealer {
    /// Begins a sealed file (format F2) in `sink`. The sink wants no buffer of its own: it gets 112 KiB at a time.
    ///
    /// # Errors
    /// [`FileError`] when the context cannot be bound, the lease has ended, or the operating system gives no random bytes.
    /// Nothing was written then.
    pub fn file<W: Write>(&self, sink: W, context: &Context<'_>) -> Result<FileSealer<W>, FileError> {
        Ok(FileSealer { sealing: Sealing::begin(self.for_file(context)?)?, sink, progress: None })
    }
}

impl<W> FileSealer<W> {
    /// Calls back with the number of plaintext bytes that were sealed so far, after each batch of chunks.
    pub fn on_progress(&mut self, progress: impl FnMut(u64) + Send + 'static) {
        self.progress = Some(Box::new(progress));
    }

    /// Renews the lease by itself from now on: `renew` drives the given future to its end, on the thread that writes.
    pub fn renew_with(&mut self, renew: impl FnMut(Renewal) -> Result<DataKey, phi_keys::Error> + Send + 'static) {
        self.sealing.lease.renew_with(Box::new(renew));
    }

    /// Asks for a new lease on the key of the file, for [`renew`](Self::renew).
    pub fn renewal(&self) -> Renewal {
        self.sealing.lease.renewal()
    }

    /// Goes on with a new lease.
    ///
    /// # Errors
    /// [`FileError::KeyRotated`] when the scope has another key by now: what is sealed under the former one would be
    /// missed when its references are counted.
    pub fn renew(&mut self, key: DataKey) -> Result<(), FileError> {
        self.sealing.lease.renew(key)
    }

    /// The name of the key, which the file carries.
    pub fn kid(&self) -> KeyId {
        self.sealing.lease.kid()
    }

    /// Plaintext bytes that were taken.
    pub const fn position(&self) -> u64 {
        self.sealing.position()
    }

    pub(super) fn report(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress(self.sealing.position());
        }
    }
}

impl<W: Write> FileSealer<W> {
    /// Seals the last chunk, flushes the sink and hands it back. Making it durable (`sync_all`) is the caller's.
    ///
    /// # Errors
    /// [`FileError`]; the file is then not complete, and is refused by every reader.
    pub fn finish(mut self) -> Result<W, FileError> {
        self.drain()?;
        self.sealing.seal_full()?;
        self.drain()?;
        self.sealing.seal_last()?;
        self.drain()?;
        self.sink.flush()?;
        self.report();
        Ok(self.sink)
    }

    /// Seals everything that `source` holds, without the copy that `write` makes, and says how much that was. May be
    /// called again for another source, whose bytes then follow.
    ///
    /// # Errors
    /// [`FileError`]; an interrupted source is read again.
    pub fn seal_from(&mut self, mut source: impl Read) -> Result<u64, FileError> {
        let before = self.position();
        loop {
            self.make_room()?;
            match source.read_vectored(&mut self.sealing.room()) {
                Ok(0) => return Ok(self.position() - before),
                Ok(read) => self.sealing.filled(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Afterwards there is room for plaintext.
    fn make_room(&mut self) -> Result<(), FileError> {
        self.drain()?;
        if self.sealing.is_full() {
            self.sealing.seal_full()?;
            self.report();
            self.drain()?;
        }
        Ok(())
    }

    /// Gives the sink what is ready.
    pub(super) fn drain(&mut self) -> Result<(), FileError> {
        while !self.sealing.ready().is_empty() {
            match self.sink.write(self.sealing.ready()) {
                Ok(0) => return Err(FileError::Io(io::ErrorKind::WriteZero.into())),
                Ok(taken) => self.sealing.taken(taken),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for FileSealer<W> {
    /// An error means that nothing was taken.
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        self.make_room()?;
        Ok(self.sealing.put(plaintext))
    }

    /// Hands the full chunks to the sink and flushes it. A chunk that is not full stays here until it is, or until
    /// [`finish`](Self::finish).
    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.sealing.seal_full()?;
        self.drain()?;
        self.sink.flush()
    }
}

impl<W> fmt::Debug for FileSealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSealer({}, {} bytes)", self.kid(), self.position())
    }
}
