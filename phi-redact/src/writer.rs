//! The last line of defence: whole lines are searched on their way into a file, a pipe or a socket.

use std::io::{self, Write};

use crate::scan::redact_line;

/// Longest line that is kept while its end has not come: 1 MiB. A longer one is replaced by a note, because cutting
/// it could cut a value in two and let both halves pass.
const LONGEST_LINE: usize = 1 << 20;
const TOO_LONG: &[u8] = b"[line over 1 MiB left out]\n";

/// A writer that passes whole lines on, each through [`redact_line`].
///
/// A line that has no end yet is held back, in [`flush`](Write::flush) too, and written by
/// [`finish`](Self::finish) or when the writer is dropped. Bytes that are no UTF-8 become U+FFFD.
///
/// ```
/// use std::io::Write;
///
/// let mut log = phi_redact::RedactWriter::new(Vec::new());
/// log.write_all(b"ssn 078-05")?;
/// log.write_all(b"-1120\nmrn ")?;
/// log.write_all(b"4711")?;
/// assert_eq!(log.finish()?, b"ssn [SSN]\nmrn [MRN]");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RedactWriter<W: Write> {
    /// `None` once `finish` has given it back.
    inner: Option<W>,
    line: Vec<u8>,
    overlong: bool,
}

impl<W: Write> RedactWriter<W> {
    /// Wraps a writer.
    pub const fn new(inner: W) -> Self {
        Self { inner: Some(inner), line: Vec::new(), overlong: false }
    }

    /// Writes what is held back, flushes, and gives the inner writer back.
    ///
    /// # Errors
    /// Those of the inner writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_rest()?;
        self.flush()?;
        self.inner.take().ok_or_else(gone)
    }

    fn write_rest(&mut self) -> io::Result<()> {
        if self.line.is_empty() && !self.overlong { Ok(()) } else { self.write_line() }
    }

    /// Takes the line out first: after an error it is not written twice.
    fn write_line(&mut self) -> io::Result<()> {
        let mut line = core::mem::take(&mut self.line);
        let inner = self.inner.as_mut().ok_or_else(gone)?;
        let written = if core::mem::take(&mut self.overlong) {
            inner.write_all(TOO_LONG)
        } else {
            inner.write_all(redact_line(&String::from_utf8_lossy(&line)).as_bytes())
        };
        line.clear();
        self.line = line;
        written
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.overlong || self.line.len() + piece.len() > LONGEST_LINE {
            self.overlong = true;
            self.line.clear();
        } else {
            self.line.extend_from_slice(piece);
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the writer has been finished")
}

impl<W: Write> Write for RedactWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // One line per call: after an error the caller knows which bytes were taken.
        let length = buf.iter().position(|&b| b == b'\n').map_or(buf.len(), |i| i + 1);
        let piece = buf.get(..length).unwrap_or_default();
        self.hold(piece);
        if piece.ends_with(b"\n") {
            self.write_line()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<W: Write> Drop for RedactWriter<W> {
    fn drop(&mut self) {
        // Whoever wants to know about an error calls `finish`.
        let _ = self.write_rest();
    }
}

impl<W: Write> core::fmt::Debug for RedactWriter<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RedactWriter").field("held_back", &self.line.len()).finish_non_exhaustive()
    }
}

/// Makes a [`RedactWriter`] around each writer of an inner [`MakeWriter`](tracing_subscriber::fmt::MakeWriter), for
/// `fmt` layers.
///
/// Behind [`Redact`](crate::Redact) it is a second line. Alone it sees only text: no field policy, and a value that
/// the formatter has escaped or split is missed.
///
/// ```
/// let layer = tracing_subscriber::fmt().with_writer(phi_redact::RedactMakeWriter::new(std::io::stderr));
/// phi_redact::Redact::new(layer.finish(), phi_redact::RedactPolicy::strict());
/// ```
#[cfg(feature = "tracing")]
#[derive(Clone, Copy, Debug)]
pub struct RedactMakeWriter<M>(M);

#[cfg(feature = "tracing")]
impl<M> RedactMakeWriter<M> {
    /// Wraps a maker of writers.
    pub const fn new(inner: M) -> Self {
        Self(inner)
    }
}

#[cfg(feature = "tracing")]
impl<'a, M: tracing_subscriber::fmt::MakeWriter<'a>> tracing_subscriber::fmt::MakeWriter<'a> for RedactMakeWriter<M> {
    type Writer = RedactWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactWriter::new(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing_core::Metadata<'_>) -> Self::Writer {
        RedactWriter::new(self.0.make_writer_for(meta))
    }
}
