//! The same files through the traits of the tokio runtime. Leases are renewed by the streams themselves.

mod open;
mod seal;

pub use open::AsyncFileOpener;
pub use seal::AsyncFileSealer;

use core::task::{Context, Poll, ready};

use super::lease::Lease;
use super::{FileError, Renewal};

/// A renewal that is under way.
#[derive(Default)]
struct Renewing(Option<Renewal>);

impl Renewing {
    /// Ready when the lease is a new one.
    fn poll(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Poll<Result<(), FileError>> {
        let renewal = self.0.get_or_insert_with(|| lease.renewal());
        let renewed = ready!(renewal.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(renewed.map_err(FileError::Keys).and_then(|key| lease.renew(key)))
    }
}
