//! Server-rendered pages: no script, no inline style, values escaped by construction.

mod access;
mod chart;
mod keys;
mod layout;
mod login;
mod search;
mod sessions;

pub(crate) use access::{AccessRow, LogState, access};
pub(crate) use chart::{Chart, Record, SHOWN, chart};
pub(crate) use keys::{Outcome as KeyOutcome, keys};
pub(crate) use layout::{STYLE, Who, problem};
pub(crate) use login::{code, login};
pub(crate) use search::{Hit, search};
pub(crate) use sessions::{SessionRow, sessions};
