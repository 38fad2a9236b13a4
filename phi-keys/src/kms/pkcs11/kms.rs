use core::fmt;
use core::time::Duration;

use zeroize::Zeroizing;

use super::error::Pkcs11Error;
use super::login::Open;
use super::pool::Pkcs11Pool;
use super::versions::{self, Version};
use super::wrap::{self, Mechanism};
use crate::kms::{
    Binding, Capabilities, Carrier, ContextBinding, KekAct, KekChange, KekState, KekStatus, KekTarget, KekVersion,
    KekVersions, Kms, KmsAdmin, KmsError, KmsFuture, WrapContext, Wrapped,
};

/// A KEK in a token: AES-256 keys of one label, which never leave it.
#[derive(Clone)]
pub struct Pkcs11Kms {
    pool: Pkcs11Pool,
    label: String,
    kek_id: String,
    mechanism: Mechanism,
}

impl Pkcs11Kms {
    pub(super) async fn open(pool: Pkcs11Pool, label: &str) -> Result<Self, Pkcs11Error> {
        let wanted = label.to_owned();
        let mechanism =
            pool.run(move |open| versions::newest(&open.session, &wanted)?.mechanism(&open.offered)).await?;
        let kek_id = format!("pkcs11:token={};object={}", escaped(pool.token()), escaped(label));
        Ok(Self { pool, label: label.to_owned(), kek_id, mechanism })
    }

    /// How carriers are bound: [`Binding::Native`] under AES-GCM, [`Binding::Derivation`] under key wrap.
    #[must_use]
    pub const fn binding(&self) -> Binding {
        self.mechanism.binding()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Open, &str) -> Result<T, Pkcs11Error> + Send + 'static,
    ) -> Result<T, KmsError> {
        let label = self.label.clone();
        Ok(self.pool.run(move |open| work(open, &label)).await?)
    }

    async fn wrap(&self, carrier: &Carrier, context: &WrapContext) -> Result<Wrapped, KmsError> {
        let (carrier, digest, mechanism) =
            (Carrier::from_bytes(Zeroizing::new(*carrier.expose())), *context.digest(), self.mechanism);
        let work = move |open: &Open, label: &str| {
            let newest = versions::newest(&open.session, label)?;
            if !newest.wraps_by(mechanism) {
                return Err(Pkcs11Error::Disabled);
            }
            Ok((newest.name(), mechanism.wrap(open, newest.handle, &carrier, &digest)?))
        };
        let (version, blob) = self.run(work).await?;
        Wrapped::new(&self.kek_id, version, mechanism.binding(), blob).map_err(KmsError::failed)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        if wrapped.kek_id() != self.kek_id {
            return Err(KmsError::OtherKek);
        }
        if !wrapped.algorithm().is_empty() {
            return Err(KmsError::Refused);
        }
        let (mechanism, blob) = Mechanism::of(wrapped.blob(), wrapped.binding()).ok_or(KmsError::Refused)?;
        let (version, blob, digest) = (wrapped.kek_version().to_owned(), blob.to_vec(), *context.digest());
        let work = move |open: &Open, label: &str| {
            let key = versions::named(&open.session, label, &version)?;
            if !key.unwraps_by(mechanism) {
                return Err(Pkcs11Error::Disabled);
            }
            mechanism.unwrap(open, key.handle, &blob, &digest)
        };
        self.run(work).await
    }

    async fn ask(&self) -> Result<KekStatus, KmsError> {
        let newest = self.run(|open, label| versions::newest(&open.session, label)).await?;
        Ok(KekStatus::new(state(newest.wraps_by(self.mechanism)), Some(newest.name())))
    }

    async fn list(&self) -> Result<KekVersions, KmsError> {
        let versions = self.run(|open, label| {
            let versions = versions::all(&open.session, label)?;
            // An older version may be for another mechanism than the one that wraps now.
            let usable = |version: &Version| version.mechanism(&open.offered).is_ok_and(|by| version.unwraps_by(by));
            Ok(versions.iter().map(|version| (version.name(), usable(version))).collect::<Vec<_>>())
        });
        let versions = versions.await?.into_iter().map(|(name, usable)| KekVersion::new(name, state(usable), None));
        Ok(KekVersions::new(&self.kek_id, versions.collect()))
    }

    async fn add(&self) -> Result<KekChange, KmsError> {
        let mechanism = self.mechanism;
        let version = self.run(move |open, label| versions::generate(&open.session, label, mechanism)).await?;
        Ok(KekChange::new(&self.kek_id, KekAct::Rotate, Some(version), KekState::Enabled))
    }

    async fn switch(&self, target: &KekTarget, on: bool) -> Result<KekChange, KmsError> {
        let Some(name) = target.version().map(str::to_owned) else {
            return Err(KmsError::Unsupported("switch a whole KEK on or off at once"));
        };
        let (act, state) = if on { (KekAct::Enable, KekState::Enabled) } else { (KekAct::Disable, KekState::Disabled) };
        let version = name.clone();
        self.run(move |open, label| versions::named(&open.session, label, &name)?.switch(open, on)).await?;
        Ok(KekChange::new(&self.kek_id, act, Some(version), state))
    }
}

impl Kms for Pkcs11Kms {
    fn kek_id(&self) -> &str {
        &self.kek_id
    }

    fn capabilities(&self) -> Capabilities {
        let context = match self.binding() {
            Binding::Native => ContextBinding::Native,
            Binding::Derivation => ContextBinding::None,
        };
        Capabilities::new(context).with_named_version().with_admin()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(self.wrap(carrier, context))
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(self.unwrap(wrapped, context))
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(self.ask())
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            let all = self.list().await?.versions;
            let named = all.into_iter().find(|one| one.name == version);
            Ok(Some(named.map_or(KekState::Destroyed, |version| version.state)))
        })
    }
}

/// A token adds versions and switches single versions off and on. It destroys at once and for ever, so that nothing is
/// scheduled here: use the token's own tools, after a rewrap.
impl KmsAdmin for Pkcs11Kms {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(self.list())
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(self.add())
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.switch(target, false))
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.switch(target, true))
    }

    fn schedule_destruction<'a>(&'a self, _: &'a KekTarget, _: Duration) -> KmsFuture<'a, KekChange> {
        Box::pin(async { Err(KmsError::Unsupported("schedule a destruction")) })
    }

    fn cancel_destruction<'a>(&'a self, _: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async { Err(KmsError::Unsupported("cancel a destruction")) })
    }
}

impl fmt::Debug for Pkcs11Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Kms({})", self.kek_id)
    }
}

const fn state(usable: bool) -> KekState {
    if usable { KekState::Enabled } else { KekState::Disabled }
}

/// Makes the first version of a KEK.
pub(super) async fn create(pool: &Pkcs11Pool, label: &str, only: Option<Mechanism>) -> Result<(), Pkcs11Error> {
    let label = label.to_owned();
    pool.run(move |open| {
        if !versions::all(&open.session, &label)?.is_empty() {
            return Err(Pkcs11Error::KeyExists);
        }
        let may = |mechanism| only.is_none_or(|only| only == mechanism);
        let mechanism = wrap::choose(&open.offered, may(Mechanism::Gcm), may(Mechanism::KeyWrapPad))?;
        versions::generate(&open.session, &label, mechanism).map(drop)
    })
    .await
}

/// As RFC 7512 writes a label in a URI.
fn escaped(label: &str) -> String {
    let mut out = String::with_capacity(label.len());
    for byte in label.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn labels_cannot_forge_another_part_of_the_kek_id() {
        assert_eq!(escaped("clinic-1.a_b~"), "clinic-1.a_b~");
        assert_eq!(escaped("a;object=b c%"), "a%3Bobject%3Db%20c%25");
        assert_eq!(escaped("ä"), "%C3%A4");
    }
}
