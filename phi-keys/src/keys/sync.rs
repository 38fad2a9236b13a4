//! The locks and atomics of the cache: those of `loom` in its model check, the standard library's otherwise.

#[cfg(all(test, loom))]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(all(test, loom))]
pub(super) use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(not(all(test, loom)))]
pub(super) use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(all(test, loom)))]
pub(super) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
