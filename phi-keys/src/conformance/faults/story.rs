use core::num::NonZeroU32;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use phi_types::ManualClock;

use super::super::parts::WHOLE;
use super::super::world::{TENANT, WINDOW, nothing, patient, subject};
use super::super::{Must, Violation, failed, rule};
use super::{Script, StoreFault, Way};
use crate::anchor::StoreAnchor;
use crate::derive::Label;
use crate::error::Error;
use crate::id::FullId;
use crate::keys::Keys;
use crate::kms::{EphemeralKeyring, KmsAdmin};
use crate::scope::KeyUse;
use crate::store::{KeyState, KeyStore, RowKind, Slot};

/// How many subjects there are.
const SUBJECTS: u8 = 3;
const OPENS: &str = "whatever a write does, the store opens afterwards";
const KEPT: &str = "whatever a write does, every value that was sealed opens afterwards";
const WELL: &str = "where no write fails, keys are made, rotated, rewrapped, staged, shredded and ended";
const DEAD: &str = "whatever a write does, a shredded subject gets no key";

/// One step of a story. A number names a subject; those of 3 and more are the same three again.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Act {
    /// Seals a value.
    Seal(u8),
    /// Rotates the subject's data key.
    RotateData(u8),
    /// Rotates the domain key of all data keys.
    RotateDomain,
    /// Stages a domain key.
    StageDomain,
    /// Puts the staged domain key to use.
    ActivateDomain,
    /// Rewraps data keys under the active domain key.
    RewrapData,
    /// Rotates the KEK and rewraps domain keys.
    RotateKek,
    /// Shreds the subject.
    Shred(u8),
    /// Retires or destroys every domain key and every key of the subject that nothing refers to, as far as its state allows.
    End(u8),
    /// Seals every value of the subject again, under its active key.
    Reseal(u8),
    /// Lets the longest lease pass.
    Later,
    /// Ends the process and starts another one.
    Restart,
}

/// What somebody outside knows: the values that were sealed, and who asked for a shred.
#[derive(Default)]
struct Model {
    /// By subject: the key of each value, and what it derives.
    sealed: HashMap<u8, HashMap<FullId, [u8; 32]>>,
    /// Keys that ever were.
    seen: HashMap<u8, HashSet<FullId>>,
    asked: HashSet<u8>,
    shredded: HashSet<u8>,
}

struct Tale {
    store: Arc<dyn KeyStore>,
    kek: Arc<EphemeralKeyring>,
    clock: ManualClock,
    anchor: Option<Arc<dyn StoreAnchor>>,
    script: Arc<Script>,
    model: Model,
    /// Of a story without faults, whose acts succeed: the states that keys were seen in.
    passed: Option<HashSet<(RowKind, KeyState)>>,
}

/// A played story.
pub(super) struct Played {
    pub(super) writes: u64,
    /// Empty where faults were allowed for.
    pub(super) passed: HashSet<(RowKind, KeyState)>,
    pub(super) tombstones: usize,
}

/// Plays a story over an empty store, with or without an empty anchor beside it, while writes to both fail as told, one after the
/// other; then checks that no value was lost and nobody was brought back. For tests that make up stories by chance; [`store_faults`] plays
/// one with every fault at every write. How many writes there were.
///
/// [`store_faults`]: super::store_faults
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn store_story(
    store: Arc<dyn KeyStore>,
    anchor: Option<Arc<dyn StoreAnchor>>,
    acts: &[Act],
    faults: &[Option<StoreFault>],
) -> Result<u64, Violation> {
    Ok(told(store, anchor, acts, Some(faults)).await?.writes)
}

/// The same; without faults every act must succeed.
pub(super) async fn told(
    store: Arc<dyn KeyStore>,
    anchor: Option<Arc<dyn StoreAnchor>>,
    acts: &[Act],
    faults: Option<&[Option<StoreFault>]>,
) -> Result<Played, Violation> {
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let kek = EphemeralKeyring::named("conformance", clock.clone()).must("the machine has randomness")?;
    let kek = Arc::new(kek);
    let script = Script::new(faults.unwrap_or_default().iter().copied());
    let passed = faults.is_none().then(HashSet::new);
    let mut tale = Tale { store, kek, clock, anchor, script, model: Model::default(), passed };
    tale.play(acts).await?;
    let tombstones = tale.store.tombstones().await.must(WHOLE)?.len();
    let writes = tale.script.writes();
    // The disk is sound again.
    tale.script.clear();
    tale.check().await?;
    Ok(Played { writes, passed: tale.passed.unwrap_or_default(), tombstones })
}

fn name(subject: u8) -> String {
    format!("patient {}", subject % SUBJECTS)
}

impl Tale {
    async fn process(&self) -> Result<Keys, Error> {
        let way = Way::new(Arc::clone(&self.store), Arc::clone(&self.script));
        let anchor = self.anchor.clone().map(|anchor| way.anchor(anchor));
        let builder = Keys::builder(way).kek(Arc::clone(&self.kek)).tenant(TENANT).clock(self.clock.clone());
        match anchor {
            Some(anchor) => builder.anchor(anchor).build().await,
            None => builder.build().await,
        }
    }

    async fn play(&mut self, acts: &[Act]) -> Result<(), Violation> {
        let mut keys = self.done(self.process().await)?;
        for act in acts {
            let Some(running) = keys.clone() else {
                keys = self.process().await.ok();
                continue;
            };
            match *act {
                Act::Seal(subject) => self.seal(&running, subject % SUBJECTS).await?,
                Act::RotateData(subject) => {
                    let rotated = running.rotate_data_key(&patient(&name(subject))?).await;
                    drop(self.done(rotated)?);
                }
                Act::RotateDomain => drop(self.done(running.rotate_domain_key(KeyUse::Data).await)?),
                Act::StageDomain => drop(self.done(running.stage_domain_key(KeyUse::Data).await)?),
                Act::ActivateDomain => drop(self.done(running.activate_domain_key(KeyUse::Data).await)?),
                Act::RewrapData => drop(self.done(running.rewrap_data_keys().await)?),
                Act::RotateKek => {
                    let _ = self.kek.rotate().await.must("an enabled KEK can be rotated")?;
                    drop(self.done(running.rewrap().await)?);
                }
                Act::Shred(who) => {
                    self.model.asked.insert(who % SUBJECTS);
                    let shredded = running.shred(&subject(&name(who))?).await;
                    if self.done(shredded)?.is_some() {
                        self.model.shredded.insert(who % SUBJECTS);
                    }
                }
                Act::End(subject) => self.end(&running, subject % SUBJECTS).await?,
                Act::Reseal(subject) => self.reseal(&running, subject % SUBJECTS).await?,
                Act::Later => self.clock.advance(WINDOW),
                Act::Restart => keys = self.process().await.ok(),
            }
            if let Some(running) = &keys
                && running.generation().await.is_err()
            {
                keys = None;
            }
            self.note().await?;
        }
        Ok(())
    }

    /// What an act did. Where nothing fails every act succeeds.
    fn done<T>(&self, outcome: Result<T, Error>) -> Result<Option<T>, Violation> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(error) if self.passed.is_some() => Err(failed(WELL)(error)),
            Err(_) => Ok(None),
        }
    }

    /// Notes the states that keys are in.
    async fn note(&mut self) -> Result<(), Violation> {
        if let Some(passed) = &mut self.passed {
            let mut rows = self.store.domain_rows().await.must(WHOLE)?;
            rows.extend(self.store.data_rows(TENANT, None, NonZeroU32::MAX).await.must(WHOLE)?);
            passed.extend(rows.iter().map(|row| (row.kind, row.state)));
        }
        Ok(())
    }

    async fn seal(&mut self, keys: &Keys, subject: u8) -> Result<(), Violation> {
        let Ok(key) = keys.data_key(&patient(&name(subject))?).await else { return Ok(()) };
        rule(!self.model.shredded.contains(&subject), DEAD)?;
        let derived = *key.derive(Label::FIELD, b"value").must(KEPT)?;
        self.model.sealed.entry(subject).or_default().insert(key.full_id(), derived);
        self.model.seen.entry(subject).or_default().insert(key.full_id());
        Ok(())
    }

    /// Ends every key of a subject that no value refers to.
    async fn end(&self, keys: &Keys, subject: u8) -> Result<(), Violation> {
        let sealed = self.model.sealed.get(&subject).cloned().unwrap_or_default();
        let in_use = sealed.keys().map(FullId::kid).collect::<HashSet<_>>();
        let count = move |kid| core::future::ready(Ok(u64::from(in_use.contains(&kid))));
        for id in self.model.seen.get(&subject).into_iter().flatten() {
            let _ = keys.retire(id.kid(), &count).await;
            let _ = keys.destroy(id.kid(), &count).await;
        }
        // The same for domain keys, whose references the store counts.
        for row in self.store.domain_rows().await.must(WHOLE)? {
            if row.slot != Slot::root() && row.state != KeyState::Active {
                let kid = row.full_id.must(WHOLE)?.kid();
                let _ = keys.retire(kid, &nothing).await;
                let _ = keys.destroy(kid, &nothing).await;
            }
        }
        Ok(())
    }

    /// Every value is sealed again under the active key, unless one cannot be opened or the other not be had.
    async fn reseal(&mut self, keys: &Keys, subject: u8) -> Result<(), Violation> {
        let scope = patient(&name(subject))?;
        let Ok(key) = keys.data_key(&scope).await else { return Ok(()) };
        for id in self.model.sealed.get(&subject).cloned().unwrap_or_default().keys() {
            if keys.data_key_by_id(id.kid(), &scope).await.is_err() {
                return Ok(());
            }
        }
        let derived = *key.derive(Label::FIELD, b"value").must(KEPT)?;
        self.model.sealed.insert(subject, HashMap::from([(key.full_id(), derived)]));
        self.model.seen.entry(subject).or_default().insert(key.full_id());
        Ok(())
    }

    async fn check(&mut self) -> Result<(), Violation> {
        for round in 0..2 {
            let keys = self.process().await.must(OPENS)?;
            for (subject, sealed) in &self.model.sealed {
                let scope = patient(&name(*subject))?;
                for (id, derived) in sealed {
                    match keys.data_key_by_id(id.kid(), &scope).await {
                        Ok(key) => {
                            rule(!self.model.shredded.contains(subject), DEAD)?;
                            rule(*key.derive(Label::FIELD, b"value").must(KEPT)? == *derived, KEPT)?;
                        }
                        // Whether a shred that failed was done shows here, for good.
                        Err(Error::Shredded) if self.model.asked.contains(subject) => {}
                        Err(error) => return Err(failed(KEPT)(error)),
                    }
                }
                let (active, all) = (keys.data_key(&scope).await.is_ok(), keys.data_keys(&scope).await.is_ok());
                rule(active == all, "whatever a write does, either every key of a subject opens or none")?;
            }
            for asked in self.model.asked.clone() {
                let _ =
                    keys.shred(&subject(&name(asked))?).await.must("a shred that was interrupted can be resumed")?;
                self.model.shredded.insert(asked);
            }
            let _ = keys.rewrap_data_keys().await.must("a rewrap that was interrupted can be resumed")?;
            let _ = keys.rewrap().await.must("a rewrap that was interrupted can be resumed")?;
            if round == 0 {
                // As the acts do, without a fault.
                for subject in 0..SUBJECTS {
                    self.end(&keys, subject).await?;
                }
            }
        }
        Ok(())
    }
}
