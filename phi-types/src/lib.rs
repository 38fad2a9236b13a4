//! The shared words of the `phi-*` crates.
//!
//! The `phi-*` crates put technical safeguards of the HIPAA Security Rule (45 CFR 164.312) into an application.
//! Siblings never depend on each other; they meet in the types of this crate:
//!
//! - who acts: [`Actor`]; on whose record: [`SubjectId`]; why: [`Purpose`];
//! - what happened: [`Activity`], handed to a [`Recorder`];
//! - when: [`Timestamp`], always asked of a [`Clock`];
//! - and [`Phi<T>`], a value that no log, error or panic message can print.
//!
//! The crate has no dependency by default, does no input or output, knows no async runtime and no cryptography.
//!
//! ```
//! use phi_types::{Action, Activity, Actor, ManualClock, Clock, Outcome, Phi, Purpose, SubjectId};
//!
//! let clock = ManualClock::at_unix_seconds(1_767_225_600);
//! let opened = Activity::new("chart.open", Action::Read, Outcome::Success, clock.now())
//!     .by(Actor::human("dr.osei@clinic.example")?)
//!     .about(SubjectId::new("patient-7431")?)
//!     .for_purpose(Purpose::Treatment);
//! assert_eq!(opened.at.to_string(), "2026-01-01T00:00:00.000000Z");
//!
//! let name = Phi::new("Ada Lovelace");
//! assert_eq!(format!("{name:?} {name}"), "[PHI] [PHI]");
//! assert_eq!(name.expose(), &"Ada Lovelace");
//! # Ok::<(), phi_types::InvalidId>(())
//! ```
//!
//! # Features
//! - `coarse-clock`: on Linux, [`Clock::recent`] of [`SystemClock`] reads the time of the kernel's last tick, which costs a
//!   fraction of asking for the time; elsewhere it changes nothing.
//! - `serde`: `Serialize` and `Deserialize` for the value types. [`Phi<T>`] serialises only when `T` says so
//!   through [`SerializablePhi`].
#![cfg_attr(docsrs, feature(doc_cfg))]

mod activity;
mod actor;
mod clock;
mod id;
mod outcome;
mod phi;
mod purpose;
mod subject;
mod text;
mod timestamp;

pub use activity::{Activity, Detail, NoRecorder, RecordError, Recorder, Recording, Resource};
pub use actor::{Actor, ActorKind};
pub use clock::{Clock, ManualClock, SystemClock};
pub use id::InvalidId;
pub use outcome::{Action, Outcome};
pub use phi::Phi;
#[cfg(feature = "serde")]
pub use phi::SerializablePhi;
pub use purpose::Purpose;
pub use subject::SubjectId;
pub use timestamp::{InvalidTimestamp, Timestamp};
