//! The subscriber that stands in front of every layer.

mod plan;
mod values;

use std::{any::TypeId, cell::Cell};

use tracing_core::{
    Dispatch, Event, Interest, LevelFilter, Metadata, Subscriber,
    field::{ValueSet, Visit},
    span::{Attributes, Current, Id, Record},
};

use self::{
    plan::{Plan, Plans},
    values::{Cleaner, Known, Values},
};
use crate::{InitError, RedactPolicy, count};

/// A subscriber whose inner subscriber, with all its layers and filters, only ever sees clean values.
///
/// It must be the outermost one. It stores nothing of an event beyond the call, and a clean event leaves it as it came.
///
/// ```
/// use phi_redact::{Redact, RedactPolicy};
///
/// let inner = tracing_subscriber::fmt().with_writer(std::io::stderr).finish();
/// let redact = Redact::new(inner, RedactPolicy::strict().safe(["status"]));
/// tracing::subscriber::with_default(redact, || {
///     assert!(phi_redact::is_installed());
///     tracing::info!(status = 200, name = "Ada", "ssn 078-05-1120"); // ssn [SSN] status=200 name=[undeclared]
/// });
/// ```
pub struct Redact<S> {
    inner: S,
    plans: Plans,
    installed: Installed,
}

/// What [`is_installed`](crate::is_installed) asks a dispatcher for.
#[derive(Debug)]
pub(crate) struct Installed;

thread_local! {
    /// Grows whenever this thread comes through here, which tells that formatting a value logged.
    static PASSES: Cell<u64> = const { Cell::new(0) };
}

fn pass() {
    let _ = PASSES.try_with(|passes| passes.set(passes.get().wrapping_add(1)));
}

fn passes() -> u64 {
    PASSES.try_with(Cell::get).unwrap_or(0)
}

impl<S: Subscriber> Redact<S> {
    /// Wraps a subscriber with everything in it.
    pub fn new(inner: S, policy: RedactPolicy) -> Self {
        Self { inner, plans: Plans::new(policy), installed: Installed }
    }

    /// Makes this the subscriber of the process and installs the [panic hook](crate::install_panic_hook).
    ///
    /// # Errors
    /// [`InitError::AlreadySet`] if the process has a subscriber. It stays, and the panic hook is left as it is.
    pub fn install(self) -> Result<(), InitError>
    where
        S: Send + Sync,
    {
        tracing_core::dispatcher::set_global_default(Dispatch::new(self)).map_err(|_| InitError::AlreadySet)?;
        crate::install_panic_hook();
        Ok(())
    }

    /// Cleans what `visit` shows and hands it on; `None` says that the original is clean as it is.
    fn clean<T>(
        &self,
        meta: &'static Metadata<'static>,
        plan: &Plan,
        visit: impl FnOnce(&mut dyn Visit),
        hand: impl FnOnce(Option<&ValueSet<'_>>) -> T,
    ) -> T {
        Values::with(|values| {
            let before = passes();
            visit(&mut Cleaner { values, plans: &self.plans, known: Known::Plan(plan) });
            // A `Debug` implementation that logs uses up the per-layer filter decisions that `tracing-subscriber` keeps
            // for this event in a thread-local; asking again restores them. For `log` records the decision was made
            // about metadata that is gone by now.
            if passes() != before && meta.target() != "log" {
                self.inner.enabled(meta);
            }
            if values.same_as_original() {
                return hand(None);
            }
            values.over(meta.fields(), &meta.callsite(), |clean| hand(Some(clean)))
        })
    }

    /// Layers are asked about a clean event only, so that none can decide by, or keep, a raw value.
    fn forward(&self, event: &Event<'_>) {
        if self.inner.event_enabled(event) {
            self.inner.event(event);
        }
    }
}

impl<S: Subscriber> Subscriber for Redact<S> {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.inner.on_register_dispatch(subscriber);
    }

    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        if self.plans.policy.denies(meta.target(), meta.level()) {
            Interest::never()
        } else {
            self.inner.register_callsite(meta)
        }
    }

    fn enabled(&self, meta: &Metadata<'_>) -> bool {
        pass();
        !self.plans.policy.denies(meta.target(), meta.level()) && self.inner.enabled(meta)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.inner.max_level_hint()
    }

    /// The inner subscriber is asked in [`event`](Self::event), about the clean event.
    fn event_enabled(&self, _: &Event<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        pass();
        let meta = event.metadata();
        let plan = self.plans.of(meta);
        if plan.denied {
            return count::denied();
        }
        self.clean(
            meta,
            &plan,
            |visit| event.record(visit),
            |clean| match clean {
                None => self.forward(event),
                Some(clean) if event.is_contextual() => self.forward(&Event::new(meta, clean)),
                // No parent at all makes a root event.
                Some(clean) => self.forward(&Event::new_child_of(event.parent().cloned(), meta, clean)),
            },
        );
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        pass();
        let meta = span.metadata();
        let plan = self.plans.of(meta);
        self.clean(
            meta,
            &plan,
            |visit| span.record(visit),
            |clean| match (clean, span.parent()) {
                (None, _) => self.inner.new_span(span),
                (Some(clean), Some(parent)) => self.inner.new_span(&Attributes::child_of(parent.clone(), meta, clean)),
                (Some(clean), None) if span.is_root() => self.inner.new_span(&Attributes::new_root(meta, clean)),
                (Some(clean), None) => self.inner.new_span(&Attributes::new(meta, clean)),
            },
        )
    }

    fn record(&self, span: &Id, record: &Record<'_>) {
        Values::with(|values| {
            record.record(&mut Cleaner { values, plans: &self.plans, known: Known::Span(None) });
            if values.same_as_original() {
                return self.inner.record(span, record);
            }
            values.in_pieces(|clean| self.inner.record(span, &Record::new(clean)));
        });
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.inner.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.inner.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.inner.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.inner.clone_span(id)
    }

    #[expect(deprecated, reason = "an inner subscriber may still implement it")]
    fn drop_span(&self, id: Id) {
        self.inner.drop_span(id);
    }

    fn try_close(&self, id: Id) -> bool {
        self.inner.try_close(id)
    }

    fn current_span(&self) -> Current {
        self.inner.current_span()
    }

    #[expect(
        unsafe_code,
        reason = "the trait's signature is unsafe, and layers such as tracing-error's need it forwarded"
    )]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            Some(core::ptr::from_ref(self).cast())
        } else if id == TypeId::of::<Installed>() {
            Some(core::ptr::from_ref(&self.installed).cast())
        } else {
            // SAFETY: the caller's obligation, that the pointer is used as the type asked for while `self` lives, is
            // the one that the inner subscriber asks for: it lives as long as `self`.
            unsafe { self.inner.downcast_raw(id) }
        }
    }
}

impl<S> core::fmt::Debug for Redact<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Redact").field("policy", &self.plans.policy).finish_non_exhaustive()
    }
}
