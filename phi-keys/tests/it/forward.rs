//! Stores and KMSs that stand in front of others write only what they do differently.

/// Writes methods of a `KeyStore` or of a `Kms` that hand on to a field: `forward!(self.inner: prepare, commit);` in the impl.
/// What is neither named nor written stays the trait's own.
macro_rules! forward {
    (self.$to:tt: $($method:ident),+) => {
        $($crate::forward::forward!($method $to);)+
    };
    (prepare $to:tt) => {
        fn prepare(&self) -> phi_keys::StoreFuture<'_, ()> {
            self.$to.prepare()
        }
    };
    (commit $to:tt) => {
        fn commit<'a>(&'a self, change: &'a phi_keys::Change) -> phi_keys::StoreFuture<'a, phi_keys::Committed> {
            self.$to.commit(change)
        }
    };
    (slot $to:tt) => {
        fn slot<'a>(&'a self, slot: &'a phi_keys::Slot) -> phi_keys::StoreFuture<'a, Vec<phi_keys::KeyRow>> {
            self.$to.slot(slot)
        }
    };
    (scopes $to:tt) => {
        fn scopes<'a>(
            &'a self,
            tenant: &'a str,
            key_use: phi_keys::KeyUse,
            scopes: &'a [[u8; 32]],
        ) -> phi_keys::StoreFuture<'a, Vec<phi_keys::KeyRow>> {
            self.$to.scopes(tenant, key_use, scopes)
        }
    };
    (by_kid $to:tt) => {
        fn by_kid(&self, kid: phi_keys::KeyId) -> phi_keys::StoreFuture<'_, Option<phi_keys::KeyRow>> {
            self.$to.by_kid(kid)
        }
    };
    (domain_rows $to:tt) => {
        fn domain_rows(&self) -> phi_keys::StoreFuture<'_, Vec<phi_keys::KeyRow>> {
            self.$to.domain_rows()
        }
    };
    (tombstones $to:tt) => {
        fn tombstones(&self) -> phi_keys::StoreFuture<'_, Vec<phi_keys::KeyRow>> {
            self.$to.tombstones()
        }
    };
    (data_rows $to:tt) => {
        fn data_rows<'a>(
            &'a self,
            tenant: &'a str,
            after: Option<&'a phi_keys::KeyRow>,
            limit: core::num::NonZeroU32,
        ) -> phi_keys::StoreFuture<'a, Vec<phi_keys::KeyRow>> {
            self.$to.data_rows(tenant, after, limit)
        }
    };
    (remains $to:tt) => {
        fn remains<'a>(&'a self, slot: &'a phi_keys::Slot) -> phi_keys::StoreFuture<'a, phi_keys::Remains> {
            self.$to.remains(slot)
        }
    };
    (purge $to:tt) => {
        fn purge(&self) -> phi_keys::StoreFuture<'_, Vec<phi_keys::Residue>> {
            self.$to.purge()
        }
    };
    (kek_id $to:tt) => {
        fn kek_id(&self) -> &str {
            self.$to.kek_id()
        }
    };
    (capabilities $to:tt) => {
        fn capabilities(&self) -> phi_keys::Capabilities {
            self.$to.capabilities()
        }
    };
    (wrap_dek $to:tt) => {
        fn wrap_dek<'a>(
            &'a self,
            carrier: &'a phi_keys::Carrier,
            context: &'a phi_keys::WrapContext,
        ) -> phi_keys::KmsFuture<'a, phi_keys::Wrapped> {
            self.$to.wrap_dek(carrier, context)
        }
    };
    (unwrap_dek $to:tt) => {
        fn unwrap_dek<'a>(
            &'a self,
            wrapped: &'a phi_keys::Wrapped,
            context: &'a phi_keys::WrapContext,
        ) -> phi_keys::KmsFuture<'a, phi_keys::Carrier> {
            self.$to.unwrap_dek(wrapped, context)
        }
    };
    (rewrap $to:tt) => {
        fn rewrap<'a>(
            &'a self,
            wrapped: &'a phi_keys::Wrapped,
            context: &'a phi_keys::WrapContext,
        ) -> phi_keys::KmsFuture<'a, phi_keys::Rewrap> {
            self.$to.rewrap(wrapped, context)
        }
    };
    (status $to:tt) => {
        fn status(&self) -> phi_keys::KmsFuture<'_, phi_keys::KekStatus> {
            self.$to.status()
        }
    };
    (version_state $to:tt) => {
        fn version_state<'a>(&'a self, version: &'a str) -> phi_keys::KmsFuture<'a, Option<phi_keys::KekState>> {
            self.$to.version_state(version)
        }
    };
    (root_pin $to:tt) => {
        fn root_pin(&self) -> Option<&dyn phi_keys::RootPin> {
            self.$to.root_pin()
        }
    };
}
pub(crate) use forward;
