//! The rows of a store as somebody sees them who can write it, taken apart and put together again.

use core::num::NonZeroU32;
use phi_types::Timestamp;

use super::super::parts::{WHOLE, join};
use super::super::world::TENANT;
use super::super::{Must, Violation};
use crate::backend::Backend;
use crate::derive::{self, Label};
use crate::f1::{self, MessageKey, Nonce, Suite};
use crate::id::FullId;
use crate::kms::{Carrier, Kms, WrapContext};
use crate::scope::KeyUse;
use crate::store::{KeyRow, KeyState, KeyStore, RowKind, Slot};
use crate::tlv;

/// The rows of two tenants, those that an attack is about by name.
#[derive(Clone)]
pub(super) struct Tables {
    /// The root key and the generation.
    pub(super) root: Vec<KeyRow>,
    /// The domain key of the tenant's data keys.
    pub(super) here: KeyRow,
    /// The same of another tenant.
    pub(super) there: KeyRow,
    /// The domain key of the tenant's indexes.
    pub(super) index: KeyRow,
    /// The data key of the patient.
    pub(super) data: KeyRow,
    /// The data key of another patient.
    pub(super) other: KeyRow,
    /// The data key of a patient of the other tenant.
    pub(super) data_there: KeyRow,
    /// What an attacker adds.
    pub(super) more: Vec<KeyRow>,
    /// Whether the patient's row goes.
    pub(super) without_data: bool,
}

impl Tables {
    pub(super) async fn read(store: &dyn KeyStore, there: &str, [data, other]: [FullId; 2]) -> Result<Self, Violation> {
        let domains = store.domain_rows().await.must(WHOLE)?;
        let domain = |tenant: &str, key_use| {
            domains.iter().find(|row| row.slot == Slot::new(tenant, key_use, None)).cloned().must(WHOLE)
        };
        let data_there = store.data_rows(there, None, NonZeroU32::MIN).await.must(WHOLE)?;
        Ok(Self {
            root: store.slot(&Slot::root()).await.must(WHOLE)?,
            here: domain(TENANT, KeyUse::Data)?,
            there: domain(there, KeyUse::Data)?,
            index: domain(TENANT, KeyUse::Index)?,
            data: store.by_kid(data.kid()).await.must(WHOLE)?.must(WHOLE)?,
            other: store.by_kid(other.kid()).await.must(WHOLE)?.must(WHOLE)?,
            data_there: data_there.into_iter().next().must(WHOLE)?,
            more: Vec::new(),
            without_data: false,
        })
    }

    pub(super) fn rows(self) -> Vec<KeyRow> {
        let mut rows = self.root;
        rows.extend([self.here, self.there, self.index, self.other, self.data_there]);
        rows.extend(self.more);
        if !self.without_data {
            rows.push(self.data);
        }
        rows
    }
}

/// A domain key that the attacker knows, wrapped under a KEK as its owner would, in a row that lacks nothing but the MAC.
/// The row names it, or another key.
pub(super) async fn own_key(kek: &dyn Kms, version: u32, named: Option<FullId>) -> Result<KeyRow, Violation> {
    const MADE: &str = "who may wrap under a KEK can make a row";
    let key = [0x5a; 32];
    let full_id = named.unwrap_or_else(|| derive::full_id(&key));
    let slot = Slot::new(TENANT, KeyUse::Data, None);
    let (created, state) = (Timestamp::UNIX_EPOCH, KeyState::Active);
    let mut row = KeyRow::new(RowKind::Domain, slot, version, Some(full_id), None, state, created, Vec::new(), [0; 32]);
    // As SPEC.md says it, and not as this crate does it.
    let mut list = tlv::Writer::new("phi/wrap/v1");
    let version = version.to_be_bytes();
    let fields: [(u8, &[u8]); 5] = [
        (1, &[RowKind::Domain.code()]),
        (2, TENANT.as_bytes()),
        (3, &[KeyUse::Data.code()]),
        (5, full_id.as_bytes()),
        (6, &version),
    ];
    fields.into_iter().try_for_each(|(tag, value)| list.field(tag, value)).must(MADE)?;
    let aad = list.finish();
    let context = Backend::ring().sha256([aad.as_slice()]);
    let carrier = Carrier::generate().must(MADE)?;
    let wrapped = kek.wrap_dek(&carrier, &WrapContext::from_digest(context)).await.must(MADE)?;
    let mut list = tlv::Writer::new("phi/carrier/v1");
    let fields: [(u8, &[u8]); 4] = [
        (1, &context),
        (2, wrapped.kek_id().as_bytes()),
        (3, &[wrapped.binding().byte()]),
        (4, wrapped.algorithm().as_bytes()),
    ];
    fields.into_iter().try_for_each(|(tag, value)| list.field(tag, value)).must(MADE)?;
    let parent = derive::expand(carrier.expose(), Label::CARRIER, &list.finish());
    let message_key = MessageKey::derive(&parent, Label::WRAP, Suite::Aes256Gcm, f1::fresh_salt().must(MADE)?);
    row.wrapped = join(&[(wrapped, message_key.seal(Nonce::random().must(MADE)?, &aad, &key).must(MADE)?)])?;
    Ok(row)
}
