//! The policy, resolved once per callsite: an event then costs one lookup and one array access per field.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use tracing_core::{Field, Metadata, callsite::Identifier};

use crate::{
    engine::label::{self, Labels},
    policy::{RedactPolicy, Treatment},
};

/// Callsites that are remembered; programs have hundreds. Beyond it a plan is resolved anew for each event.
const SLOTS: usize = 2048;
/// Neighbouring slots that are tried.
const PROBES: usize = 16;

/// What happens to one field.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldPlan {
    pub(super) treatment: Treatment,
    /// What the field's name says about its value.
    pub(super) labels: Labels,
}

impl FieldPlan {
    fn new(policy: &RedactPolicy, target: &str, field: &str) -> Self {
        Self { treatment: policy.treatment(target, field), labels: label::of_name(field) }
    }
}

/// What happens to the fields of one callsite.
#[derive(Debug)]
pub(super) struct Plan {
    meta: &'static Metadata<'static>,
    fields: Box<[FieldPlan]>,
    pub(super) denied: bool,
}

impl Plan {
    fn new(policy: &RedactPolicy, meta: &'static Metadata<'static>) -> Self {
        let fields = meta.fields().iter().map(|field| FieldPlan::new(policy, meta.target(), field.name())).collect();
        Self { meta, fields, denied: policy.denies(meta.target(), meta.level()) }
    }
}

/// A plan that is remembered, or one that found no room.
pub(super) enum Found<'a> {
    Kept(&'a Plan),
    Shared(Arc<Plan>),
}

impl Deref for Found<'_> {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        match self {
            Self::Kept(plan) => plan,
            Self::Shared(plan) => plan,
        }
    }
}

/// The policy with what was resolved so far.
pub(super) struct Plans {
    pub(super) policy: RedactPolicy,
    /// By the address of the metadata, which is a static: reading takes no lock and writes no shared memory. The
    /// callsite would not do as a key, because those of the `log` bridge have no size and so no address of their own.
    slots: Box<[OnceLock<Arc<Plan>>]>,
    /// The plans of spans by callsite: a later `record` brings no metadata.
    spans: RwLock<HashMap<Identifier, Arc<Plan>>>,
}

impl Plans {
    pub(super) fn new(policy: RedactPolicy) -> Self {
        Self { policy, slots: (0..SLOTS).map(|_| OnceLock::new()).collect(), spans: RwLock::default() }
    }

    pub(super) fn of(&self, meta: &'static Metadata<'static>) -> Found<'_> {
        let first = spread(core::ptr::from_ref(meta).addr());
        let mut new = None;
        for i in 0..PROBES {
            let Some(slot) = self.slots.get((first + i) % SLOTS) else { break };
            let kept = slot.get_or_init(|| Arc::clone(new.get_or_insert_with(|| self.resolve(meta))));
            if core::ptr::eq(kept.meta, meta) {
                return Found::Kept(kept);
            }
        }
        Found::Shared(new.unwrap_or_else(|| self.resolve(meta)))
    }

    fn resolve(&self, meta: &'static Metadata<'static>) -> Arc<Plan> {
        let plan = Arc::new(Plan::new(&self.policy, meta));
        if meta.is_span() {
            let mut spans = self.spans.write().unwrap_or_else(PoisonError::into_inner);
            spans.entry(meta.callsite()).or_insert_with(|| Arc::clone(&plan));
        }
        plan
    }

    /// The plan of the span that this field belongs to.
    pub(super) fn of_span(&self, callsite: &Identifier) -> Option<Arc<Plan>> {
        let spans = self.spans.read().unwrap_or_else(PoisonError::into_inner);
        spans.get(callsite).map(Arc::clone)
    }

    /// What happens to a field, by its place in its plan; without one, by its name alone, so that what is declared
    /// for a single target is not shown.
    pub(super) fn field(&self, plan: Option<&Plan>, field: &Field) -> FieldPlan {
        let known = plan.filter(|plan| plan.meta.callsite() == field.callsite());
        known
            .and_then(|plan| plan.fields.get(field.index()).copied())
            .unwrap_or_else(|| FieldPlan::new(&self.policy, "", field.name()))
    }
}

/// Fibonacci hashing of an address whose low bits are always zero.
const fn spread(address: usize) -> usize {
    ((address >> 3) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (usize::BITS / 2)
}
