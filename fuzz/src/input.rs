//! Taking a fuzzer's bytes apart.

/// What is left of an input. Reading beyond the end gives zeros, so that every input means something.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| {
            let byte = self.0.first().copied().unwrap_or(0);
            self.0 = self.0.get(1..).unwrap_or_default();
            byte
        })
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// As many bytes as the next one says.
    pub(crate) fn short(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (value, rest) = self.0.split_at(length);
        self.0 = rest;
        value
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
