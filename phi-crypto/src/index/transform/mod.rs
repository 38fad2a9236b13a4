//! What is done to a value before it is indexed, so that two ways of writing it have one tag.

mod date;
mod phone;
mod zip;

use zeroize::Zeroizing;

/// How a value is normalised before it is indexed. The bytes that name it in the tag's input are frozen.
///
/// The coarser a transform, the more rows share a tag: what that gives away and what it hides is said at
/// [`BlindIndex`](super::BlindIndex#what-each-option-changes).
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
    /// As [`TrimLowercase`](Self::TrimLowercase), in normalisation form NFKC: `Zoë` has one tag whether its last letter is
    /// one character or two, and a full-width letter is its ordinary one. For names and addresses.
    #[cfg(feature = "nfkc")]
    NfkcLowercase,
    /// The last so many characters of what [`TrimLowercase`](Self::TrimLowercase) leaves. A shorter value has no tag.
    Last(u8),
    /// The first so many characters of what [`TrimLowercase`](Self::TrimLowercase) leaves: an index of one prefix length.
    /// A shorter value has no tag.
    First(u8),
    /// The last so many ASCII digits, such as the last four of a social security number. A value of fewer digits has no
    /// tag.
    LastDigits(u8),
    /// The year of a date as FHIR (`1980`, `1980-07`, `1980-07-31T10:00:00Z`) or HL7 version 2 (`19800731`) writes it.
    /// Anything else has no tag.
    ///
    /// A year is an element that 45 CFR 164.514(b)(2)(i)(C) lets de-identified data keep, except where it shows an age
    /// over 89; an index column is never de-identified data.
    Year,
    /// The first three digits of a US ZIP code of five or nine digits. Anything else has no tag.
    ///
    /// 45 CFR 164.514(b)(2)(i)(B) lets de-identified data keep these three digits only where the areas that share them
    /// hold more than 20,000 people by the current Census, and wants `000` elsewhere. The transform does not know the
    /// Census and changes no digits: whoever de-identifies applies that rule to the data; the index column stays behind.
    Zip3,
    /// A telephone number in the form of ITU-T E.164: 8 to 15 digits that begin with the calling code of a country.
    #[non_exhaustive]
    E164 {
        /// The calling code of numbers without one, such as 1 for North America.
        home: u16,
    },
}

impl Transform {
    /// Telephone numbers, of which those without a calling code are taken to be of the country with this one.
    ///
    /// A number may begin with `tel:`, ends at a letter or one of `;,#` (an extension), and any other characters between
    /// digits are dropped. It is international behind `+` (where a `(0)` is dropped), behind `00` and, at home in 1,
    /// behind `011`. Otherwise it is national: at home in 1 it has ten digits, or eleven that begin with 1; elsewhere one
    /// leading 0 is taken for the trunk prefix and dropped, which is wrong in Italy, where numbers are to be given with
    /// `+39`. What does not become 8 to 15 digits has no tag.
    ///
    /// ```
    /// use phi_crypto::{BlindIndex, IndexSpec, Transform};
    ///
    /// const BY_PHONE: IndexSpec = BlindIndex::exact("Patient", "phone", "by_phone", Transform::e164(1));
    /// ```
    #[must_use]
    pub const fn e164(home: u16) -> Self {
        Self::E164 { home }
    }

    /// Appends the id in the input of the tag, `SPEC.md` section 5: one byte, and its parameter where it has one.
    pub(super) fn write_id(self, out: &mut Vec<u8>) {
        match self {
            Self::Exact => out.push(1),
            Self::Digits => out.push(2),
            Self::TrimLowercase => out.push(3),
            #[cfg(feature = "nfkc")]
            Self::NfkcLowercase => out.push(4),
            Self::Last(count) => out.extend_from_slice(&[5, count]),
            Self::First(count) => out.extend_from_slice(&[6, count]),
            Self::LastDigits(count) => out.extend_from_slice(&[7, count]),
            Self::Year => out.push(8),
            Self::Zip3 => out.push(9),
            Self::E164 { home } => {
                out.push(10);
                out.extend_from_slice(&home.to_be_bytes());
            }
        }
    }

    /// Appends the normalised value; false where the transform leaves nothing to look for.
    pub(super) fn apply(self, value: &str, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        match self {
            Self::Exact => out.extend_from_slice(value.as_bytes()),
            Self::Digits => out.extend(value.bytes().filter(u8::is_ascii_digit)),
            Self::TrimLowercase => out.extend_from_slice(lowercase(value).as_bytes()),
            #[cfg(feature = "nfkc")]
            Self::NfkcLowercase => {
                use unicode_normalization::UnicodeNormalization as _;

                let composed = Zeroizing::new(value.nfkc().collect::<String>());
                let lower = Zeroizing::new(composed.to_lowercase());
                // Lower case can be decomposed again.
                out.extend_from_slice(Zeroizing::new(lower.nfkc().collect::<String>()).trim().as_bytes());
            }
            Self::Last(count) => {
                let text = lowercase(value);
                let from = text.char_indices().rev().nth(usize::from(count).wrapping_sub(1)).map(|(at, _)| at);
                out.extend_from_slice(from.and_then(|from| text.get(from..)).unwrap_or_default().as_bytes());
            }
            Self::First(count) => {
                let text = lowercase(value);
                let last = text.char_indices().nth(usize::from(count).wrapping_sub(1));
                let end = last.map(|(at, last)| at.saturating_add(last.len_utf8()));
                out.extend_from_slice(end.and_then(|end| text.get(..end)).unwrap_or_default().as_bytes());
            }
            Self::LastDigits(count) => {
                let digits = Zeroizing::new(value.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>());
                let from = digits.len().checked_sub(usize::from(count));
                out.extend_from_slice(from.and_then(|from| digits.get(from..)).unwrap_or_default());
            }
            Self::Year => out.extend_from_slice(date::year(value)),
            Self::Zip3 => out.extend_from_slice(zip::area(value)),
            Self::E164 { home } => phone::write(value, home, out),
        }
        matches!(self, Self::Exact) || out.len() > before
    }
}

/// What [`Transform::TrimLowercase`] leaves.
fn lowercase(value: &str) -> Zeroizing<String> {
    Zeroizing::new(value.trim().to_lowercase())
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
            (Transform::Last(4), " MRN-00Öß ", Some("00öß")),
            (Transform::Last(4), "mrn", None),
            (Transform::Last(3), "MRN", Some("mrn")),
            (Transform::Last(0), "MRN", None),
            (Transform::First(3), "  Ångström", Some("ång")),
            (Transform::First(3), "Li", None),
            (Transform::First(2), "Li", Some("li")),
            (Transform::First(0), "Li", None),
            (Transform::LastDigits(4), "078-05-1120", Some("1120")),
            (Transform::LastDigits(4), "112", None),
            (Transform::LastDigits(4), "1 1-2.0", Some("1120")),
            (Transform::LastDigits(0), "112", None),
        ] {
            assert_eq!(applied(transform, value).as_deref(), expected, "{transform:?} {value}");
        }
    }

    #[cfg(feature = "nfkc")]
    #[test]
    fn one_name_in_several_forms_is_one() {
        for value in ["Zoë", "zoe\u{308}", " ＺＯＥ\u{308}\u{3000}", "ZOË"] {
            assert_eq!(applied(Transform::NfkcLowercase, value).as_deref(), Some("zoë"), "{value}");
        }
        assert_eq!(applied(Transform::NfkcLowercase, "ﬁ").as_deref(), Some("fi"));
        assert_eq!(applied(Transform::NfkcLowercase, " \u{a0} "), None);
        // A dotted capital I becomes two characters in lower case.
        assert_eq!(applied(Transform::NfkcLowercase, "İ").as_deref(), Some("i\u{307}"));
    }
}
