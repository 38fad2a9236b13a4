//! Resource names, custom verbs and collections in request paths.

use crate::call::Call;

/// `projects/P/locations/L[/keyRings/R[/cryptoKeys/K[/cryptoKeyVersions/V]]][/collection][:verb]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// `projects/P/locations/L`.
    pub(super) location: String,
    pub(super) ring: Option<String>,
    pub(super) key: Option<String>,
    pub(super) version: Option<String>,
    /// A collection the path ends in, such as `cryptoKeyVersions`.
    pub(super) collection: Option<String>,
    /// A custom verb behind the last colon, such as `encrypt`.
    pub(super) verb: Option<String>,
}

impl Name {
    /// `None` for a path that is no resource of this service.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let path = call.path();
        let (&"v1", path) = path.split_first()? else { return None };
        let (last, before) = path.split_last()?;
        let (last, verb) = last.split_once(':').map_or((*last, None), |(last, verb)| (last, Some(verb.to_owned())));
        let mut rest = before.to_vec();
        rest.push(last);
        let (["projects", project, "locations", location], mut rest) = rest.split_at_checked(4)? else { return None };
        let location = format!("projects/{project}/locations/{location}");
        let (mut ids, mut collection) = (Vec::new(), None);
        for level in ["keyRings", "cryptoKeys", "cryptoKeyVersions"] {
            match rest {
                [] => break,
                [only] if *only == level => {
                    collection = Some(level.to_owned());
                    rest = &[];
                    break;
                }
                [first, id, tail @ ..] if *first == level => {
                    ids.push((*id).to_owned());
                    rest = tail;
                }
                _ => return None,
            }
        }
        let mut ids = ids.into_iter();
        let (ring, key, version) = (ids.next(), ids.next(), ids.next());
        rest.is_empty().then_some(Self { location, ring, key, version, collection, verb })
    }

    pub(super) fn ring_name(&self) -> Option<String> {
        Some(format!("{}/keyRings/{}", self.location, self.ring.as_ref()?))
    }

    pub(super) fn key_name(&self) -> Option<String> {
        Some(format!("{}/cryptoKeys/{}", self.ring_name()?, self.key.as_ref()?))
    }
}
