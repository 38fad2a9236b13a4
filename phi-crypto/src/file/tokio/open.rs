//! Opening a file through `AsyncRead` and `AsyncSeek`.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll, ready};
use std::io::{self, SeekFrom};

use phi_keys::KeyId;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use zeroize::Zeroizing;

use super::Renewing;
use crate::file::cobblestone::SEALED_CHUNK;
use crate::file::length::{self, HEAD};
use crate::file::opening::{FileKey, Opening};
use crate::file::{FileError, FileHead};
use crate::{Context, ScopedOpener};

/// Opens a sealed file while it is read: [`FileOpener`](crate::file::FileOpener) for tokio, with the same promises.
///
/// It renews its lease by itself, on the task that reads. A seek that is counted from the end, or that goes behind it,
/// opens the last chunk.
pub struct AsyncFileOpener<R> {
    opening: Opening,
    source: R,
    begin: Option<u64>,
    consumed: u64,
    renewing: Renewing,
    seek: Option<(SeekFrom, Step)>,
    /// The source was told to seek and has not answered.
    sent: bool,
}

/// Where a seek is. Each step but the last asks the source for one thing.
enum Step {
    Begin,
    Size,
    ToLast {
        sealed: u64,
    },
    Last {
        sealed: u64,
        bytes: Zeroizing<Vec<u8>>,
        filled: usize,
    },
    Stand(u64),
    /// It failed; the source goes back to where the window expects it.
    Back(FileError),
}

impl ScopedOpener {
    /// Opens a sealed file (format F2) that begins where the source stands and goes to the source's end. Reads the first 80
    /// bytes. The source wants no buffer of its own.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub async fn file_async<R: AsyncRead + Unpin>(
        &self,
        mut source: R,
        context: &Context<'_>,
    ) -> Result<AsyncFileOpener<R>, FileError> {
        let (mut head, mut filled) = ([0; FileHead::LEN], 0);
        while let Some(room) = head.get_mut(filled..).filter(|room| !room.is_empty()) {
            match poll_fn(|cx| poll_read(&mut source, cx, room)).await? {
                0 => break,
                read => filled += read,
            }
        }
        let head = FileHead::parse(head.get(..filled).unwrap_or_default())?;
        let opening = Opening::new(FileKey::new(self, &head, context)?);
        let renewing = Renewing::default();
        Ok(AsyncFileOpener { opening, source, begin: None, consumed: HEAD, renewing, seek: None, sent: false })
    }
}

fn poll_read(
    source: &mut (impl AsyncRead + Unpin),
    cx: &mut TaskContext<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(room);
    ready!(Pin::new(source).poll_read(cx, &mut room))?;
    Poll::Ready(Ok(room.filled().len()))
}

impl<R> AsyncFileOpener<R> {
    /// The name of the key, which the file carries.
    pub fn kid(&self) -> KeyId {
        self.opening.key.kid()
    }

    /// The source, wherever it stands.
    pub fn into_inner(self) -> R {
        self.source
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncFileOpener<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(ready) = this.opening.ready() {
                let ready = ready?;
                let size = ready.len().min(out.remaining());
                out.put_slice(ready.get(..size).unwrap_or_default());
                this.opening.taken(size);
                return Poll::Ready(Ok(()));
            }
            let opened = if this.opening.is_waiting() {
                this.opening.retry()
            } else {
                let read = ready!(poll_read(&mut this.source, cx, this.opening.room()))?;
                this.consumed += read as u64;
                this.opening.filled(read)
            };
            match opened {
                // What waits for the lease is opened in the next round.
                Err(FileError::LeaseEnded) => ready!(this.renewing.poll(&mut this.opening.key.lease, cx))?,
                other => other?,
            }
        }
    }
}

impl<R: AsyncRead + AsyncSeek + Unpin> AsyncFileOpener<R> {
    fn poll_source(&mut self, cx: &mut TaskContext<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        if !self.sent {
            ready!(Pin::new(&mut self.source).poll_complete(cx))?;
            Pin::new(&mut self.source).start_seek(to)?;
            self.sent = true;
        }
        let at = ready!(Pin::new(&mut self.source).poll_complete(cx));
        self.sent = false;
        Poll::Ready(at)
    }

    /// One step of a seek; nothing follows the last one.
    fn poll_step(&mut self, cx: &mut TaskContext<'_>, to: SeekFrom, step: &mut Step) -> Poll<Result<bool, FileError>> {
        let begin = self.begin.unwrap_or(0);
        let next = match step {
            Step::Begin => {
                if self.begin.is_none() {
                    let at = ready!(self.poll_source(cx, SeekFrom::Current(0)))?;
                    self.begin = Some(at.saturating_sub(self.consumed));
                }
                Step::Size
            }
            Step::Size => {
                let at = ready!(self.poll_source(cx, SeekFrom::End(0)))?;
                let sealed = at.checked_sub(begin + HEAD).ok_or(FileError::Truncated)?;
                let within = self.target(to)?.filter(|position| length::is_within(*position, sealed));
                match (within, self.opening.end()) {
                    (Some(position), _) => Step::Stand(position),
                    (None, Some(_)) => Step::Stand(self.target(to)?.unwrap_or(0)),
                    (None, None) => Step::ToLast { sealed },
                }
            }
            Step::ToLast { sealed } => {
                let size = *sealed % SEALED_CHUNK as u64;
                ready!(self.poll_source(cx, SeekFrom::Start(begin + HEAD + *sealed - size)))?;
                let bytes = Zeroizing::new(vec![0; usize::try_from(size).unwrap_or(0)]);
                Step::Last { sealed: *sealed, bytes, filled: 0 }
            }
            Step::Last { sealed, bytes, filled } => {
                while let Some(room) = bytes.get_mut(*filled..).filter(|room| !room.is_empty()) {
                    match ready!(poll_read(&mut self.source, cx, room))? {
                        0 => return Poll::Ready(Err(FileError::Truncated)),
                        read => *filled += read,
                    }
                }
                match self.opening.open_end(*sealed, bytes) {
                    Err(FileError::LeaseEnded) => {
                        ready!(self.renewing.poll(&mut self.opening.key.lease, cx))?;
                        Step::ToLast { sealed: *sealed }
                    }
                    other => {
                        other?;
                        Step::Stand(self.target(to)?.unwrap_or(0))
                    }
                }
            }
            Step::Stand(position) => {
                if let Some(sealed) = self.opening.go_to(*position) {
                    self.consumed = HEAD + sealed;
                }
                ready!(self.poll_source(cx, SeekFrom::Start(begin + self.consumed)))?;
                return Poll::Ready(Ok(false));
            }
            Step::Back(_) => {
                ready!(self.poll_source(cx, SeekFrom::Start(begin + self.consumed)))?;
                return Poll::Ready(Ok(false));
            }
        };
        *step = next;
        Poll::Ready(Ok(true))
    }

    /// The place that is meant, unless the end must be known for it.
    fn target(&self, to: SeekFrom) -> Result<Option<u64>, FileError> {
        let position = match (to, self.opening.end()) {
            (SeekFrom::Start(position), _) => Some(position),
            (SeekFrom::Current(by), _) => self.opening.position().checked_add_signed(by),
            (SeekFrom::End(_), None) => return Ok(None),
            (SeekFrom::End(by), Some(end)) => end.checked_add_signed(by),
        };
        position.map(Some).ok_or_else(|| FileError::Io(io::ErrorKind::InvalidInput.into()))
    }
}

impl<R: AsyncRead + AsyncSeek + Unpin> AsyncSeek for AsyncFileOpener<R> {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        if self.seek.is_some() {
            return Err(io::Error::other("a seek is under way; complete it first"));
        }
        self.seek = Some((to, Step::Begin));
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        while let Some((to, mut step)) = this.seek.take() {
            let back = matches!(step, Step::Back(_));
            match this.poll_step(cx, to, &mut step) {
                Poll::Pending => {
                    this.seek = Some((to, step));
                    return Poll::Pending;
                }
                Poll::Ready(Ok(true)) => this.seek = Some((to, step)),
                Poll::Ready(Ok(false)) => {
                    if let Step::Back(error) = step {
                        return Poll::Ready(Err(error.into()));
                    }
                }
                Poll::Ready(Err(error)) if back => return Poll::Ready(Err(error.into())),
                Poll::Ready(Err(error)) => {
                    this.sent = false;
                    this.seek = Some((to, Step::Back(error)));
                }
            }
        }
        Poll::Ready(Ok(this.opening.position()))
    }
}

impl<R> fmt::Debug for AsyncFileOpener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncFileOpener({}, at {})", self.kid(), self.opening.position())
    }
}
