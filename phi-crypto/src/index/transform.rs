//! What is done to a value before it is indexed, so that two ways of writing it have one tag.

use zeroize::Zeroizing;

/// How a value is normalised before it is indexed. The byte that names it in the tag's input is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transform {
    /// The bytes as they are. An empty value has a tag.
    Exact,
    /// The ASCII digits alone: `078-05-1120` and `078051120` are one value. A value without digits has no tag.
    Digits,
    /// Without outer white space (Unicode `White_Space`), in lower case (Unicode default mapping, untailored; no
    /// normalisation of composed characters). A value of white space alone has no tag.
    TrimLowercase,
}

impl Transform {
    /// The id in the input of the tag, `SPEC.md` section 5.
    pub(super) const fn id(self) -> u8 {
        match self {
            Self::Exact => 1,
            Self::Digits => 2,
            Self::TrimLowercase => 3,
        }
    }

    /// Appends the normalised value; false where the transform leaves nothing to look for.
    pub(super) fn apply(self, value: &str, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        match self {
            Self::Exact => out.extend_from_slice(value.as_bytes()),
            Self::Digits => out.extend(value.bytes().filter(u8::is_ascii_digit)),
            Self::TrimLowercase => out.extend_from_slice(Zeroizing::new(value.trim().to_lowercase()).as_bytes()),
        }
        matches!(self, Self::Exact) || out.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(transform: Transform, value: &str) -> Option<String> {
        let mut out = Vec::new();
        transform.apply(value, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_transform_keeps_what_it_says() {
        for (transform, value, expected) in [
            (Transform::Exact, " Ab-1 ", Some(" Ab-1 ")),
            (Transform::Exact, "", Some("")),
            (Transform::Digits, "078-05-1120", Some("078051120")),
            (Transform::Digits, "٠٧٨ n/a", None),
            (Transform::Digits, "", None),
            (Transform::TrimLowercase, "\u{2003}Öz-MÜLLER\t", Some("öz-müller")),
            (Transform::TrimLowercase, "ΟΔΥΣΣΕΥΣ", Some("οδυσσευς")),
            (Transform::TrimLowercase, " \u{a0} ", None),
        ] {
            assert_eq!(applied(transform, value).as_deref(), expected, "{transform:?}");
        }
    }
}
