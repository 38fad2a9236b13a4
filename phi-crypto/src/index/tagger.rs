//! Tags of a declared index, under the keys of its generations.

use phi_keys::backend::{Backend, HmacSha256};
use phi_keys::derive::Label;
use phi_keys::tlv::Writer;
use phi_keys::{DomainKey, KeyUse, Keys};
use zeroize::Zeroizing;

use super::spec::{Declared, Fields};
use super::{IndexError, Tag, Tags, Transform};
use crate::RecordId;

/// Bytes that the input of a tag takes beside the value, in most cases.
const HEAD_LEN: usize = 24;

/// The transform of an index over several fields: each field has its own within.
const COMPOUND: u8 = 32;

/// An opened index, with those that it replaces and those under index domain keys before the active one.
#[derive(Clone)]
pub(crate) struct Opened {
    /// Newest first, never empty.
    newest: Tagger,
    older: Vec<Tagger>,
    domain: DomainKey,
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    is_rotated: bool,
}

impl Opened {
    pub(crate) async fn open(declared: Declared, keys: &Keys) -> Result<Self, IndexError> {
        let domains = keys.domain_keys(KeyUse::Index).await?;
        let tagger = |domain: &DomainKey, declared: &Declared| {
            let info = declared.key_info(keys.tenant()).map_err(|_| IndexError::TooLong)?;
            let key = domain.derive(Label::BLIND_INDEX, &info).map_err(|_| IndexError::LeaseEnded)?;
            Ok::<_, IndexError>(Tagger::new(keys.backend(), *declared, &key))
        };
        let generations = || declared.generations().flat_map(|declared| domains.iter().map(move |key| (key, declared)));
        let older = generations().skip(1).map(|(key, declared)| tagger(key, declared)).collect::<Result<_, _>>()?;
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        let is_rotated = domains.len() > 1;
        // The active key is the first of at least one.
        let domain = domains.into_iter().next().ok_or(IndexError::LeaseEnded)?;
        Ok(Self {
            newest: tagger(&domain, &declared)?,
            older,
            domain,
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            is_rotated,
        })
    }

    /// Whether a tag of the newest version can be one of an earlier key all the same.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) const fn is_rotated(&self) -> bool {
        self.is_rotated
    }

    /// The tag to store: of the newest generation.
    pub(crate) fn tag(&self, values: &[&str], row: Option<&RecordId<'_>>) -> Result<Option<Tag>, IndexError> {
        self.live()?;
        let partition = row.filter(|_| self.newest.declared.partitions > 1).map(|row| self.newest.partition(row));
        self.newest.tag(values, partition.transpose()?)
    }

    /// The tags to look for: of every generation and partition.
    pub(super) fn search(&self, values: &[&str]) -> Result<Tags, IndexError> {
        self.live()?;
        let mut tags = Vec::new();
        for tagger in core::iter::once(&self.newest).chain(&self.older) {
            match tagger.declared.partitions {
                ..2 => tags.extend(tagger.tag(values, None)?),
                partitions => {
                    for partition in 0..partitions {
                        tags.extend(tagger.tag(values, Some(partition))?);
                    }
                }
            }
        }
        Ok(Tags::new(tags))
    }

    fn live(&self) -> Result<(), IndexError> {
        if self.domain.is_live() { Ok(()) } else { Err(IndexError::LeaseEnded) }
    }
}

/// One generation of an index under its key.
#[derive(Clone)]
pub(super) struct Tagger {
    declared: Declared,
    key: HmacSha256,
}

impl Tagger {
    pub(super) fn new(backend: Backend, declared: Declared, key: &[u8; 32]) -> Self {
        Self { declared, key: HmacSha256::new(backend, key) }
    }

    /// Which partition a row is in: evenly spread and, without the key, not to be guessed.
    pub(super) fn partition(&self, row: &RecordId<'_>) -> Result<u16, IndexError> {
        let mut message = Writer::new("");
        row.with_text(|text| message.field(3, text)).map_err(|_| IndexError::TooLong)?;
        let mac = self.key.sign(&Zeroizing::new(message.finish()));
        let first = mac.first_chunk().copied().unwrap_or_default();
        let partition = u64::from_be_bytes(first) % u64::from(self.declared.partitions.max(1));
        // Less than a number of 16 bits.
        Ok(u16::try_from(partition).unwrap_or_default())
    }

    /// As many values as the index has fields.
    pub(super) fn tag(&self, values: &[&str], partition: Option<u16>) -> Result<Option<Tag>, IndexError> {
        let length = values.iter().map(|value| value.len()).fold(HEAD_LEN * values.len().max(1), usize::saturating_add);
        // One buffer: one update is cheaper than several, and the buffer is wiped.
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        message.push(0);
        let mut count = 1_u8;
        match (self.declared.fields, values) {
            (Fields::One((_, transform)), [value]) => {
                count = 2;
                if !write_pair(transform, value, &mut message)? {
                    return Ok(None);
                }
            }
            (Fields::Many(parts), values) if parts.len() == values.len() => {
                message.extend_from_slice(&[1, 0, 0, 0, 1, COMPOUND]);
                for ((_, transform), value) in parts.iter().zip(values) {
                    count = count.checked_add(1).ok_or(IndexError::TooLong)?;
                    let place = begin(2, &mut message);
                    message.push(2);
                    if !write_pair(*transform, value, &mut message)? {
                        return Ok(None);
                    }
                    finish(place, &mut message)?;
                }
            }
            // The public types give as many values as there are fields.
            _ => return Ok(None),
        }
        if let Some(partition) = partition {
            count = count.checked_add(1).ok_or(IndexError::TooLong)?;
            let [high, low] = partition.to_be_bytes();
            message.extend_from_slice(&[4, 0, 0, 0, 2, high, low]);
        }
        if let Some(first) = message.first_mut() {
            *first = count;
        }
        let Declared { version, bits, .. } = self.declared;
        Ok(Some(Tag::new(version, &self.key.sign(&message), bits)))
    }
}

/// Writes elements 1 and 2, transform and normalised value; false where the transform leaves nothing.
#[inline]
fn write_pair(transform: Transform, value: &str, message: &mut Vec<u8>) -> Result<bool, IndexError> {
    let place = begin(1, message);
    transform.write_id(message);
    finish(place, message)?;
    let place = begin(2, message);
    if !transform.apply(value, message) {
        return Ok(false);
    }
    finish(place, message)?;
    Ok(true)
}

/// Begins an element whose length is not known yet; returns where its value begins.
#[inline]
fn begin(tag: u8, message: &mut Vec<u8>) -> usize {
    message.extend_from_slice(&[tag, 0, 0, 0, 0]);
    message.len()
}

/// Writes the length of the element that was begun.
#[inline]
fn finish(start: usize, message: &mut [u8]) -> Result<(), IndexError> {
    let length = u32::try_from(message.len().saturating_sub(start)).map_err(|_| IndexError::TooLong)?;
    if let Some(place) = message.get_mut(start.saturating_sub(4)..start) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
