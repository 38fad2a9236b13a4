//! Log redaction in front of every layer: by type, by field, by content.
//!
//! ```
//! # use phi_redact::RedactPolicy;
//! phi_redact::init(RedactPolicy::strict().safe(["status"]))?;
//! tracing::info!(status = 200, family = "Lovelace", "chart of mrn 4711 opened");
//! // INFO clinic: chart of mrn [MRN] opened status=200 family=[undeclared]
//! # Ok::<(), phi_redact::InitError>(())
//! ```
//!
//! Three lines of defence share one engine:
//!
//! 1. **Types.** A [`Phi<T>`] prints `[PHI]` wherever it is formatted.
//! 2. **Fields.** [`Redact`] wraps any `tracing` subscriber and rewrites each event, span and later `record` before a
//!    layer sees it, so that `fmt`, JSON, OpenTelemetry and third-party layers only ever get clean values. A field that
//!    a [`RedactPolicy`] does not declare loses its value.
//! 3. **Content.** [`redact_str`] finds identifiers by shape, validator and label, in one pass without regular
//!    expressions. It scans the message and every declared field, [`RedactWriter`] the finished line,
//!    [`install_panic_hook`] panic messages, [`Redacted`] chains of errors.
//!
//! [`init`] sets up all of it around the usual formatter. For own layers:
//!
//! ```
//! use phi_redact::{Redact, RedactPolicy};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let json = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
//! let layers = tracing_subscriber::registry().with(json);
//! Redact::new(layers, RedactPolicy::strict()).install()?;
//! assert!(phi_redact::is_installed());
//! # Ok::<(), phi_redact::InitError>(())
//! ```
//!
//! # Features
//! - `tracing` (default): [`Redact`], [`RedactPolicy`], [`init`], [`RedactMakeWriter`]. Without it the crate is the
//!   content engine alone and depends on `phi-types` only.
//! - `log`: [`bridge_log`] sends the records of the `log` crate the same way.
//!
//! # How it fails
//! Towards silence. What cannot be formatted, told apart or kept whole is left out: an unterminated SQL string takes
//! the rest of its text with it, a line over 1 MiB becomes a note, a field of another callsite is dropped. A panicking
//! `Debug` panics as it would without this crate.
//!
//! # What it cannot find
//! - Names, addresses and prose in a message: no rule can. Put values into fields, and PHI into [`Phi`].
//! - Values that are split over several fields, base64, compressed, or written in digits outside ASCII; `?bytes`, which
//!   prints decimals.
//! - Names of spans, targets, fields and threads, and spans filled through the OpenTelemetry API itself.
//! - Bare digits whose label is glued to them (`DOB1980-05-12`), stands behind them or is parted from them by other words,
//!   a comma, a semicolon, a bar or a closing bracket; numbers with mixed separators; mail addresses in quotes.
//! - A date without its year, a date of a month only, and the time of day behind a date.
//! - A layer placed *over* [`Redact`] sees raw values. It must be the outermost subscriber;
//!   `tracing::subscriber::with_default` with another stack bypasses it, which [`is_installed`] tells.
//!
//! A clean event reaches the layers unchanged, byte for byte, except that `{:#?}` on a field prints its plain form and
//! an error can no longer be downcast by a layer.
//!
//! # Security
//! This prevents leaks; it does not de-identify. A log that went through it may still identify a patient together with
//! other data, and is to be kept like one. Loopback and unspecified addresses are left. Replacements say the class and
//! nothing else: no part of the value, no length, no hash. The crate has one `unsafe` block, required by the signature
//! of `Subscriber::downcast_raw`; [`counts`] says how often each class was found, never what.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod class;
mod count;
mod detect;
mod engine;
mod error;
#[cfg(feature = "tracing")]
mod init;
#[cfg(feature = "log")]
mod log;
mod panic;
#[cfg(feature = "tracing")]
mod policy;
mod scan;
mod sql;
#[cfg(feature = "tracing")]
mod subscriber;
mod writer;

#[cfg(feature = "log")]
pub use self::log::{LogTaken, bridge_log};
pub use class::Class;
pub use count::{Counts, counts};
pub use engine::{Finding, Findings};
pub use error::Redacted;
#[cfg(feature = "tracing")]
pub use init::{InitError, init, is_installed};
pub use panic::install_panic_hook;
pub use phi_types::Phi;
#[cfg(feature = "tracing")]
pub use policy::RedactPolicy;
pub use scan::{find, redact_line, redact_str};
pub use sql::redact_sql;
#[cfg(feature = "tracing")]
pub use subscriber::Redact;
#[cfg(feature = "tracing")]
pub use writer::RedactMakeWriter;
pub use writer::RedactWriter;
