//! The buffers in which associated data is written, on the stack for every context of ordinary size.

/// Takes associated data.
pub(crate) trait Sink {
    fn push(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
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

    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.heap.is_empty() { self.stack.get(..self.used).unwrap_or_default() } else { &self.heap }
    }
}

impl Sink for AadBuf {
    #[inline]
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
}
