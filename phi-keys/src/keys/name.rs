//! Scopes as the cache looks them up: in so few bytes that an entry holds them itself.

use core::hash::{BuildHasher, Hasher as _};

use crate::scope::Scope;

/// Kind, length and text of a scope, zeros behind; of a longer one, which few are, kind and [`LONG`] alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name([u8; LEN]);

/// Room for a UUID, and for all of a medical record number.
const LEN: usize = 48;
/// In the place of the length: the text does not fit. More than any length that does.
const LONG: u8 = u8::MAX;

impl Name {
    /// Of no scope: there is no kind of scope with the number zero.
    pub(super) const NONE: Self = Self([0; LEN]);

    pub(super) fn of(scope: &Scope) -> Self {
        let (kind, text) = scope.parts();
        let mut name = [0; LEN];
        let [first, length, room @ ..] = &mut name;
        *first = kind;
        // What fits is shorter than 48 bytes.
        *length = match (room.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(text.as_bytes());
                length
            }
            _ => LONG,
        };
        Self(name)
    }

    /// Whether scopes of this name have to be compared themselves.
    const fn is_long(self) -> bool {
        self.0[1] == LONG
    }

    /// Whether this and another one are names of one scope; scopes that it does not hold are compared by `same`.
    pub(super) fn is(self, other: Self, same: impl FnOnce() -> bool) -> bool {
        self == other && (!self.is_long() || same())
    }

    /// A number for a table.
    pub(super) fn hash(self, scope: &Scope, hasher: &impl BuildHasher) -> u64 {
        let mut state = hasher.build_hasher();
        state.write(&self.0);
        if self.is_long() {
            state.write(scope.parts().1.as_bytes());
        }
        state.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::hash::RandomState;

    use phi_types::SubjectId;

    use super::*;

    #[test]
    fn two_scopes_have_one_name_and_number_exactly_if_they_are_one() {
        let mut scopes = Vec::new();
        for length in (0..60).chain([255, 256, 300]) {
            for last in ["x", "y", "\0"] {
                let text = format!("{}{last}", "x".repeat(length));
                scopes.push(Scope::group(text.as_str()));
                // Control characters are no part of a subject's id.
                scopes.extend(SubjectId::new(text).map(Scope::from));
            }
        }
        scopes.push(Scope::group(""));
        let hasher = RandomState::new();
        for (at, one) in scopes.iter().enumerate() {
            for (other_at, other) in scopes.iter().enumerate() {
                let (name, asked) = (Name::of(one), Name::of(other));
                assert_eq!(name.is(asked, || one == other), at == other_at, "{at} {other_at}");
                assert_eq!(name.hash(one, &hasher) == asked.hash(other, &hasher), at == other_at, "{at} {other_at}");
            }
        }
    }
}
