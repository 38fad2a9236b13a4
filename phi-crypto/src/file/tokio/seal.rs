//! Sealing a file through `AsyncWrite`.

use core::fmt;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll, ready};
use std::io;

use phi_keys::KeyId;
use tokio::io::AsyncWrite;

use super::Renewing;
use crate::file::FileError;
use crate::file::sealing::Sealing;
use crate::{Context, ScopedSealer};

/// Seals what is written into it, and writes the sealed file to a sink: [`FileSealer`](crate::file::FileSealer) for
/// tokio. `shutdown` finishes the file; one that was not shut down is refused by every reader.
///
/// It renews its lease by itself, on the task that writes.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// use phi_crypto::{Context, Opener, Sealer};
/// use phi_keys::Scope;
/// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// let scope = Scope::group("scans");
/// let place = Context::new("Scan", "image").record_id("7431");
/// let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope).await?;
/// let mut file = sealer.file_async(Vec::new(), &place)?;
/// file.write_all(b"DICM").await?;
/// file.shutdown().await?;
/// let stored = file.into_inner();
///
/// let opener = Opener::builder(keys).build().for_scope(&scope).await?;
/// let mut image = Vec::new();
/// opener.file_async(&stored[..], &place).await?.read_to_end(&mut image).await?;
/// assert_eq!(image, b"DICM");
/// # Ok(()) }
/// ```
pub struct AsyncFileSealer<W> {
    sealing: Sealing,
    sink: W,
    renewing: Renewing,
    progress: Option<Box<dyn FnMut(u64) + Send>>,
}

impl ScopedSealer {
    /// Begins a sealed file (format F2) in `sink`, which wants no buffer of its own.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn file_async<W: AsyncWrite>(&self, sink: W, context: &Context<'_>) -> Result<AsyncFileSealer<W>, FileError> {
        let sealing = Sealing::begin(self.for_file(context)?)?;
        Ok(AsyncFileSealer { sealing, sink, renewing: Renewing::default(), progress: None })
    }
}

impl<W> AsyncFileSealer<W> {
    /// Calls back with the number of plaintext bytes that were sealed so far, after each batch of chunks.
    pub fn on_progress(&mut self, progress: impl FnMut(u64) + Send + 'static) {
        self.progress = Some(Box::new(progress));
    }

    /// The name of the key, which the file carries.
    pub fn kid(&self) -> KeyId {
        self.sealing.lease.kid()
    }

    /// Plaintext bytes that were taken.
    pub const fn position(&self) -> u64 {
        self.sealing.position()
    }

    /// The sink. The file in it is complete when `shutdown` succeeded before.
    pub fn into_inner(self) -> W {
        self.sink
    }
}

impl<W: AsyncWrite + Unpin> AsyncFileSealer<W> {
    fn poll_drain(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), FileError>> {
        while !self.sealing.ready().is_empty() {
            match ready!(Pin::new(&mut self.sink).poll_write(cx, self.sealing.ready()))? {
                0 => return Poll::Ready(Err(FileError::Io(io::ErrorKind::WriteZero.into()))),
                taken => self.sealing.taken(taken),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Seals under a lease that lasts, and gives the sink what comes of it.
    fn poll_sealed(
        &mut self,
        cx: &mut TaskContext<'_>,
        seal: fn(&mut Sealing) -> Result<(), FileError>,
    ) -> Poll<Result<(), FileError>> {
        ready!(self.poll_drain(cx))?;
        loop {
            match seal(&mut self.sealing) {
                Err(FileError::LeaseEnded) => ready!(self.renewing.poll(&mut self.sealing.lease, cx))?,
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => break,
            }
        }
        if let Some(progress) = self.progress.as_mut().filter(|_| !self.sealing.ready().is_empty()) {
            progress(self.sealing.position());
        }
        self.poll_drain(cx)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncFileSealer<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, plaintext: &[u8]) -> Poll<io::Result<usize>> {
        if self.sealing.is_finished() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(cx))?;
        if self.sealing.is_full() {
            ready!(self.poll_sealed(cx, Sealing::seal_full))?;
        }
        Poll::Ready(Ok(self.sealing.put(plaintext)))
    }

    /// Hands the full chunks to the sink and flushes it. A chunk that is not full stays here.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sealed(cx, Sealing::seal_full))?;
        Pin::new(&mut self.sink).poll_flush(cx)
    }

    /// Seals the last chunk and shuts the sink down.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sealed(cx, Sealing::seal_full))?;
        ready!(self.poll_sealed(cx, Sealing::seal_last))?;
        Pin::new(&mut self.sink).poll_shutdown(cx)
    }
}

impl<W> fmt::Debug for AsyncFileSealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncFileSealer({}, {} bytes)", self.kid(), self.position())
    }
}
