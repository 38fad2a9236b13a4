//! Who is told that something was opened.

use core::fmt;
use std::sync::Arc;

use phi_types::SubjectId;
use zeroize::Zeroize;

use super::Reseal;
use crate::Field;

/// Is told of every value that was opened, so that an audit layer can refuse a request in which PHI was opened and no
/// access was recorded.
///
/// It is called on the thread that opens, before the value is handed out, and must not block. A closure will do:
///
/// ```
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use phi_crypto::{OpenObserver, Opened};
///
/// let count = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&count);
/// let observer = move |_: &Opened<'_>| {
///     counter.fetch_add(1, Ordering::Relaxed);
/// };
/// # fn takes(_: impl OpenObserver) {}
/// # takes(observer);
/// ```
pub trait OpenObserver: Send + Sync + 'static {
    /// A value was opened and is about to be handed out.
    fn opened(&self, what: &Opened<'_>);

    /// A value was refused: it was altered, moved from its place, or sealed under another context; or it names a key that
    /// the opener does not hold, as a value does that was moved here from another patient.
    fn refused(&self, what: &Opened<'_>) {
        let _ = what;
    }
}

impl<F: Fn(&Opened<'_>) + Send + Sync + 'static> OpenObserver for F {
    fn opened(&self, what: &Opened<'_>) {
        self(what);
    }
}

/// What was opened, as its context says.
#[derive(Clone, Copy)]
pub struct Opened<'a> {
    pub(super) field: Field,
    pub(super) subject: Option<&'a SubjectId>,
    pub(super) reseal: Option<Reseal>,
}

impl<'a> Opened<'a> {
    /// The record type that the context names.
    #[must_use]
    pub const fn record_type(&self) -> &'static str {
        self.field.record_type()
    }

    /// The field that the context names.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field.name()
    }

    /// The subject that is bound, if one is.
    #[must_use]
    pub const fn subject(&self) -> Option<&'a SubjectId> {
        self.subject
    }

    /// Why the value should be sealed again, if it should; see [`needs_reseal`](crate::ScopedOpener::needs_reseal).
    #[must_use]
    pub const fn needs_reseal(&self) -> Option<Reseal> {
        self.reseal
    }
}

impl fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({}.{})", self.record_type(), self.field())
    }
}

/// An observer with what it is told of one file, which outlives the opener's borrow of the context.
pub(crate) struct Witness {
    pub(super) observer: Option<Arc<dyn OpenObserver>>,
    pub(super) field: Field,
    pub(super) subject: Option<SubjectId>,
}

impl Witness {
    pub(crate) fn opened(&self) {
        if let Some(observer) = &self.observer {
            observer.opened(&self.what());
        }
    }

    pub(crate) fn refused(&self) {
        if let Some(observer) = &self.observer {
            observer.refused(&self.what());
        }
    }

    const fn what(&self) -> Opened<'_> {
        Opened { field: self.field, subject: self.subject.as_ref(), reseal: None }
    }
}

/// Memory of a caller that holds a plaintext: wiped where an observer panics, because the caller may never know.
pub(super) struct Lent<'b>(&'b mut [u8]);

impl<'b> Lent<'b> {
    pub(super) const fn new(memory: &'b mut [u8]) -> Self {
        Self(memory)
    }

    pub(super) fn give_back(mut self) {
        self.0 = &mut [];
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
