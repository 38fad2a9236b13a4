//! The module's own account of what it was asked for.

use aws_lc_fips_sys::{FIPS_service_indicator_after_call, FIPS_service_indicator_before_call};

/// What `work` gives, and how many approved services of the module it used on this thread. A service that is not approved is
/// not counted, so work that consists of one service and counts none was not approved.
pub fn approved<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = before();
    let done = work();
    (after() - before, done)
}

/// As [`approved`], for work that waits; on a runtime of one thread.
pub async fn approved_in<T>(work: impl Future<Output = T>) -> (u64, T) {
    let before = before();
    let done = work.await;
    (after() - before, done)
}

#[expect(unsafe_code, reason = "it takes and returns numbers only, and reads a counter of this thread")]
fn before() -> u64 {
    unsafe { FIPS_service_indicator_before_call() }
}

#[expect(unsafe_code, reason = "it takes and returns numbers only, and reads a counter of this thread")]
fn after() -> u64 {
    unsafe { FIPS_service_indicator_after_call() }
}
