//! What stands between a caller and a KMS that is busy, slow or down. Each layer is a [`Kms`](super::Kms) around another.

mod breaker;
mod observed;
mod rate;
mod retry;
mod timeout;

pub use breaker::{CircuitBreaker, CircuitOpen};
pub use observed::Observed;
pub use rate::RateLimit;
pub use retry::{Retry, RetryPolicy};
pub use timeout::{TimedOut, Timeout};

/// Makes a type with `inner: Arc<dyn Kms>` and an async method `through(call, run)` a [`Kms`](super::Kms): every call that
/// reaches the KMS goes through it.
macro_rules! layer {
    ($layer:ty) => {
        impl $crate::kms::Kms for $layer {
            fn kek_id(&self) -> &str {
                self.inner.kek_id()
            }

            fn capabilities(&self) -> $crate::kms::Capabilities {
                self.inner.capabilities()
            }

            fn wrap_dek<'a>(
                &'a self,
                carrier: &'a $crate::kms::Carrier,
                context: &'a $crate::kms::WrapContext,
            ) -> $crate::kms::KmsFuture<'a, $crate::kms::Wrapped> {
                Box::pin(self.through($crate::kms::KmsCall::Wrap, move || self.inner.wrap_dek(carrier, context)))
            }

            fn unwrap_dek<'a>(
                &'a self,
                wrapped: &'a $crate::kms::Wrapped,
                context: &'a $crate::kms::WrapContext,
            ) -> $crate::kms::KmsFuture<'a, $crate::kms::Carrier> {
                Box::pin(self.through($crate::kms::KmsCall::Unwrap, move || self.inner.unwrap_dek(wrapped, context)))
            }

            fn generate<'a>(
                &'a self,
                context: &'a $crate::kms::WrapContext,
            ) -> $crate::kms::KmsFuture<'a, ($crate::kms::Carrier, $crate::kms::Wrapped)> {
                Box::pin(self.through($crate::kms::KmsCall::Generate, move || self.inner.generate(context)))
            }

            fn rewrap<'a>(
                &'a self,
                wrapped: &'a $crate::kms::Wrapped,
                context: &'a $crate::kms::WrapContext,
            ) -> $crate::kms::KmsFuture<'a, $crate::kms::Rewrap> {
                Box::pin(self.through($crate::kms::KmsCall::Rewrap, move || self.inner.rewrap(wrapped, context)))
            }

            fn status(&self) -> $crate::kms::KmsFuture<'_, $crate::kms::KekStatus> {
                Box::pin(self.through($crate::kms::KmsCall::Status, move || self.inner.status()))
            }

            fn version_state<'a>(
                &'a self,
                version: &'a str,
            ) -> $crate::kms::KmsFuture<'a, Option<$crate::kms::KekState>> {
                Box::pin(self.through($crate::kms::KmsCall::Status, move || self.inner.version_state(version)))
            }

            fn root_pin(&self) -> Option<&dyn $crate::kms::RootPin> {
                self.inner.root_pin()
            }
        }
    };
}
pub(crate) use layer;
