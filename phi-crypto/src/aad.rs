//! The buffers in which associated data is written, on the stack for every context of ordinary size.

use core::fmt;

/// Takes associated data; `write_str` never fails.
pub(crate) trait Sink: fmt::Write {
    fn as_slice(&self) -> &[u8];
    fn push(&mut self, bytes: &[u8]);
    /// Overwrites bytes that were pushed before; bytes outside are left alone.
    fn patch(&mut self, at: usize, bytes: &[u8]);
}

/// Contexts up to this many bytes are encoded without touching the heap; a typical one takes about 140.
const ON_STACK: usize = 320;

/// Bytes of associated data under construction.
pub(crate) struct AadBuf {
    stack: [u8; ON_STACK],
    used: usize,
    /// Holds everything as soon as the stack part is too small.
    heap: Vec<u8>,
}

impl AadBuf {
    pub(crate) const fn new() -> Self {
        Self { stack: [0; ON_STACK], used: 0, heap: Vec::new() }
    }
}

impl Sink for AadBuf {
    fn as_slice(&self) -> &[u8] {
        if self.heap.is_empty() { self.stack.get(..self.used).unwrap_or_default() } else { &self.heap }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.heap.is_empty() {
            let end = self.used.saturating_add(bytes.len());
            if let Some(room) = self.stack.get_mut(self.used..end) {
                room.copy_from_slice(bytes);
                self.used = end;
                return;
            }
            self.heap = Vec::with_capacity(end.saturating_mul(2));
            self.heap.extend_from_slice(self.stack.get(..self.used).unwrap_or_default());
        }
        self.heap.extend_from_slice(bytes);
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        let all = if self.heap.is_empty() { &mut self.stack[..] } else { &mut self.heap[..] };
        if let Some(room) = all.get_mut(at..at.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
        }
    }
}

/// Numbers and identifiers are formatted straight into the buffer.
impl fmt::Write for AadBuf {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The contexts of a batch, one behind the other.
#[derive(Default)]
pub(crate) struct AadVec(pub(crate) Vec<u8>);

impl Sink for AadVec {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.0.get_mut(at..at.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
        }
    }
}

impl fmt::Write for AadVec {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_what_is_read_on_both_sides_of_the_stack_limit() {
        for total in [0, 1, ON_STACK - 1, ON_STACK, ON_STACK + 1, 3 * ON_STACK] {
            let mut buffer = AadBuf::new();
            let expected: Vec<u8> = (0..total).map(|i| u8::try_from(i % 251).unwrap()).collect();
            for part in expected.chunks(7) {
                buffer.push(part);
            }
            assert_eq!(buffer.as_slice(), expected, "{total}");
            assert_eq!(buffer.heap.is_empty(), total <= ON_STACK);
        }
    }

    #[test]
    fn a_patch_reaches_bytes_that_moved_to_the_heap() {
        let mut buffer = AadBuf::new();
        buffer.push(b"len?");
        buffer.push(&[7; 2 * ON_STACK]);
        buffer.patch(0, b"done");
        assert_eq!(buffer.as_slice().get(..5), Some(&b"done\x07"[..]));
    }
}
