//! Every call to a KMS and every write to a store may fail.

mod calls;
mod kms;
mod store;
mod story;
mod writes;

pub use calls::kms_faults;
pub use kms::{FaultyKms, KmsFault};
pub use store::StoreFault;
pub(super) use store::{Script, Way};
pub use story::{Act, store_story};
use story::{Played, told};
pub use writes::store_faults;
