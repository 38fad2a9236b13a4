//! Short text that needs no allocation.

/// Immutable text. What fits stays in the value itself: a copy allocates nothing, and who looks it up among many others need
/// not follow it to another place in memory.
#[derive(Clone)]
pub(crate) enum Text {
    /// So many bytes of the array.
    Short(u8, [u8; ROOM]),
    Long(Box<str>),
}

/// Room for a UUID, in as much as makes five words of the whole.
const ROOM: usize = 38;

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        let mut room = [0; ROOM];
        match (room.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short(length, room)
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            // Always there and always UTF-8: `new` has copied them from text.
            Self::Short(length, room) => {
                room.get(..usize::from(*length)).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
            }
            Self::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_kept_as_it_is() {
        for length in (0..=ROOM + 1).chain([255, 256, 300]) {
            let (ascii, wide) = ("x".repeat(length), "é".repeat(length));
            for text in [&ascii, &wide] {
                assert_eq!(Text::new(text).as_str(), text);
                assert_eq!(matches!(Text::new(text), Text::Short(..)), text.len() <= ROOM, "{}", text.len());
            }
        }
        assert_eq!(size_of::<Text>(), 5 * size_of::<u64>());
    }
}
