//! What a sealed value holds.

use std::sync::Arc;

/// Bytes of one value: its own, or a part of a buffer that a batch was sealed into.
#[derive(Clone)]
pub(crate) enum Bytes {
    Own(Vec<u8>),
    Part { all: Arc<Vec<u8>>, start: u32, len: u32 },
}

impl Bytes {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Part { all, start, len } => {
                // The part was made of this very buffer, which does not change; 32 bits fit into a length of memory.
                let start = *start as usize;
                all.get(start..start + *len as usize).unwrap_or_default()
            }
        }
    }

    #[inline]
    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Part { .. } => self.as_slice().to_vec(),
        }
    }
}
