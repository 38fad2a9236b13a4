//! The list of everything in a backup, `SPEC.md` section 9.

use phi_keys::KeyId;
use phi_types::Timestamp;

use super::BackupError;
use crate::Context;

const MAGIC: &[u8] = b"phi/backup/v1";
/// The record type that contexts of a backup's files name.
const RECORD: &str = "phi.backup";
pub(super) const MANIFEST: &str = "manifest.phif";

/// The context of the manifest.
pub(super) const fn manifest_place() -> Context<'static> {
    Context::new(RECORD, "manifest").without_record()
}

/// The context of a part, which opens in no other place and in no other backup.
pub(super) fn part_place(id: &str, number: usize) -> Context<'_> {
    Context::new(RECORD, "part").record_id(id).row_version(number as u64)
}

/// A name that says nothing of what is inside.
pub(super) fn part_name(number: usize) -> String {
    format!("part-{number:06}.phif")
}

pub(super) struct Manifest {
    pub(super) id: [u8; 16],
    pub(super) created: Timestamp,
    pub(super) parts: Vec<Part>,
    pub(super) entries: Vec<Entry>,
}

/// A sealed file of the backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) length: u64,
    pub(super) sealed: u64,
    pub(super) kid: KeyId,
    /// Of the sealed bytes.
    pub(super) sha256: [u8; 32],
}

/// A file or folder that was saved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// With `/` between its parts, relative to the folder.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) modified: i64,
    pub(super) content: Content,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Folder,
    File(Place),
    Database(Place),
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) part: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Of the file.
    pub(super) sha256: [u8; 32],
}

impl Entry {
    pub(super) const fn place(&self) -> Option<&Place> {
        match &self.content {
            Content::Folder => None,
            Content::File(place) | Content::Database(place) => Some(place),
        }
    }
}

impl Manifest {
    pub(super) fn id(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.parts.len() * 64 + self.entries.len() * 128);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.created.as_unix_micros().to_be_bytes());
        out.extend_from_slice(&count(self.parts.len()));
        for part in &self.parts {
            out.extend_from_slice(&part.length.to_be_bytes());
            out.extend_from_slice(&part.sealed.to_be_bytes());
            out.extend_from_slice(part.kid.as_bytes());
            out.extend_from_slice(&part.sha256);
        }
        out.extend_from_slice(&count(self.entries.len()));
        for entry in &self.entries {
            let kind = match &entry.content {
                Content::Folder => 1,
                Content::File(_) => 2,
                Content::Database(_) => 3,
            };
            out.push(kind);
            out.extend_from_slice(&entry.mode.to_be_bytes());
            out.extend_from_slice(&entry.modified.to_be_bytes());
            out.extend_from_slice(&count(entry.path.len()));
            out.extend_from_slice(entry.path.as_bytes());
            if let Some(place) = entry.place() {
                out.extend_from_slice(&place.part.to_be_bytes());
                out.extend_from_slice(&place.offset.to_be_bytes());
                out.extend_from_slice(&place.length.to_be_bytes());
                out.extend_from_slice(&place.sha256);
            }
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote, and refuses everything else: the bytes are authentic, and their writer
    /// may still have been wrong.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(BackupError::Unsupported)?;
        let mut reader = Reader(rest);
        let manifest = reader.manifest().ok_or(BackupError::Unsupported)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Paths lead nowhere but into the folder, each once and below folders of the manifest, and places are within parts.
    fn check(&self) -> Result<(), BackupError> {
        let mut folders = std::collections::HashSet::new();
        let mut last: Option<&str> = None;
        for entry in &self.entries {
            let path = entry.path.as_str();
            let plain = path.split('/').all(is_plain);
            let parent = path.rsplit_once('/').is_none_or(|(parent, _)| folders.contains(parent));
            if !plain || !parent || last.is_some_and(|last| last >= path) {
                return Err(BackupError::UnsafePath);
            }
            last = Some(path);
            if entry.content == Content::Folder {
                folders.insert(path);
            }
            if let Some(place) = entry.place() {
                let part = usize::try_from(place.part).ok().and_then(|part| self.parts.get(part));
                let end = place.offset.checked_add(place.length);
                let within = part.zip(end).is_some_and(|(part, end)| end <= part.length);
                if !within {
                    return Err(BackupError::Unsupported);
                }
            }
        }
        Ok(())
    }
}

/// A name that is one on every system, and leads neither up nor away.
pub(super) fn is_plain(name: &str) -> bool {
    let foreign = if cfg!(windows) { &['\\', ':', '\0'][..] } else { &['\0'] };
    !name.is_empty() && name != "." && name != ".." && !name.contains('/') && !name.contains(foreign)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }

    fn manifest(&mut self) -> Option<Manifest> {
        let (id, created) = (self.array()?, Timestamp::from_unix_micros(i64::from_be_bytes(self.array()?)));
        // Nothing is reserved for a number that was only said.
        let (mut parts, mut entries) = (Vec::new(), Vec::new());
        for _ in 0..self.count()? {
            let (length, sealed) = (self.long()?, self.long()?);
            parts.push(Part { length, sealed, kid: KeyId::from_bytes(self.array()?), sha256: self.array()? });
        }
        for _ in 0..self.count()? {
            entries.push(self.entry()?);
        }
        self.0.is_empty().then_some(Manifest { id, created, parts, entries })
    }

    fn entry(&mut self) -> Option<Entry> {
        let [kind] = self.array()?;
        let (mode, modified) = (u32::from_be_bytes(self.array()?), i64::from_be_bytes(self.array()?));
        let path = self.text()?.to_owned();
        let content = match kind {
            1 => Content::Folder,
            2 => Content::File(self.place()?),
            3 => Content::Database(self.place()?),
            _ => return None,
        };
        Some(Entry { path, mode, modified, content })
    }

    fn place(&mut self) -> Option<Place> {
        let part = u32::from_be_bytes(self.array()?);
        Some(Place { part, offset: self.long()?, length: self.long()?, sha256: self.array()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, content: Content) -> Entry {
        Entry { path: path.to_owned(), mode: 0o600, modified: -5, content }
    }

    fn place(offset: u64, length: u64) -> Place {
        Place { part: 0, offset, length, sha256: [9; 32] }
    }

    fn manifest(entries: Vec<Entry>) -> Manifest {
        let part = Part { length: 100, sealed: 196, kid: KeyId::from_bytes([3; 16]), sha256: [4; 32] };
        Manifest { id: [1; 16], created: Timestamp::from_unix_micros(7), parts: vec![part], entries }
    }

    fn sound() -> Manifest {
        manifest(vec![
            entry("a", Content::Folder),
            entry("a/b", Content::File(place(0, 60))),
            entry("c.db", Content::Database(place(60, 40))),
        ])
    }

    #[test]
    fn what_is_written_is_read() {
        let read = Manifest::decode(&sound().encode()).unwrap();
        assert_eq!((read.entries, read.parts, read.id), (sound().entries, sound().parts, [1; 16]));
    }

    #[test]
    fn every_cut_and_every_byte_more_is_refused() {
        let bytes = sound().encode();
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(Manifest::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn no_path_leads_away() {
        let file = || Content::File(place(0, 1));
        for path in ["", "/etc/passwd", "..", "../x", "a/../x", "./x", "a//b", "a/", "x\0y", "missing/b"] {
            let entries = vec![entry(path, file())];
            let refused = Manifest::decode(&manifest(entries).encode());
            assert!(matches!(refused, Err(BackupError::UnsafePath)), "{path:?}");
        }
        for entries in [
            vec![entry("a", file()), entry("a", file())],
            vec![entry("a", file()), entry("a/b", file())],
            vec![entry("b", file()), entry("a", file())],
        ] {
            assert!(matches!(Manifest::decode(&manifest(entries).encode()), Err(BackupError::UnsafePath)));
        }
    }

    #[test]
    fn no_place_is_outside_its_part() {
        for place in [place(0, 101), place(100, 1), place(u64::MAX, 1), Place { part: 1, ..place(0, 1) }] {
            let entries = vec![entry("a", Content::File(place))];
            assert!(matches!(Manifest::decode(&manifest(entries).encode()), Err(BackupError::Unsupported)));
        }
    }
}
