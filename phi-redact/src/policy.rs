//! Which field of which target may show what.

use std::{borrow::Cow, collections::BTreeMap};

use tracing_core::{Level, LevelFilter};

/// What a log may show. Everything that is not declared is denied in [`strict`](Self::strict) mode.
///
/// A name is the whole name of a field as it stands in the macro, with its dots. `message`, the text of an event, is
/// always shown and always scanned. Declarations are resolved once per callsite, so their number costs nothing later.
///
/// ```
/// use phi_redact::RedactPolicy;
///
/// let policy = RedactPolicy::strict()
///     .safe(["status", "latency_ms", "http.route"])    // shown, after a scan
///     .phi(["patient"])                                // never shown, not even scanned
///     .safe_in("clinic::jobs", ["name"])               // only for events of this module
///     .deny_target("legacy::dump");                    // never logged
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RedactPolicy {
    pub(crate) undeclared: Treatment,
    fields: BTreeMap<Cow<'static, str>, Treatment>,
    in_target: Vec<(Cow<'static, str>, Cow<'static, str>, Treatment)>,
    denied: Vec<(Cow<'static, str>, LevelFilter)>,
}

/// What happens to the value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Shown without what the content engine finds.
    Scan,
    /// An SQL text: its literals go, the rest is scanned.
    Sql,
    /// Replaced by `[PHI]`.
    Phi,
    /// Replaced by `[undeclared]`.
    Undeclared,
}

/// Targets that print bodies, messages or parameters, and what of them may be logged. axum's rejections quote the input
/// that they refuse; the others dump what they send and receive when one asks for DEBUG or TRACE.
const DENIED: [(&str, LevelFilter); 4] = [
    ("axum::rejection", LevelFilter::OFF),
    ("aws_smithy_runtime", LevelFilter::INFO),
    ("tokio_postgres", LevelFilter::INFO),
    ("tungstenite", LevelFilter::INFO),
];

/// Fields whose name alone says that their value identifies somebody.
const KNOWN_PHI: [&str; 26] = [
    "address",
    "address_line",
    "birth_date",
    "birthdate",
    "body",
    "date_of_birth",
    "dob",
    "email",
    "family",
    "family_name",
    "fax",
    "first_name",
    "given",
    "given_name",
    "last_name",
    "maiden_name",
    "mbi",
    "medical_record_number",
    "member_id",
    "mrn",
    "patient",
    "patient_name",
    "phone",
    "ssn",
    "street",
    "surname",
];

/// Fields of widely used libraries that describe the machine, not a person.
const KNOWN_SAFE: [(&str, &[&str]); 2] = [
    ("sqlx::query", &["rows_affected", "rows_returned", "elapsed", "elapsed_secs", "slow_threshold"]),
    ("tower_http", &["latency", "status", "method", "version", "classification", "stream_duration"]),
];

/// Where `log` records carry their origin.
const LOG_BRIDGE: [&str; 4] = ["log.target", "log.module_path", "log.file", "log.line"];

impl RedactPolicy {
    /// Deny by default: a field that is not declared keeps its name and loses its value, which reads `[undeclared]`.
    pub fn strict() -> Self {
        Self::with(Treatment::Undeclared)
    }

    /// Fields that are not declared are shown after a scan; those whose name says PHI, such as `patient_name` or
    /// `dob`, are replaced.
    ///
    /// Names of people and free text pass, because no scanner can find them. Use it to see what a service logs before
    /// it goes strict, where the log is as protected as the database.
    pub fn scanning() -> Self {
        Self::with(Treatment::Scan).phi(KNOWN_PHI)
    }

    fn with(undeclared: Treatment) -> Self {
        let fields = LOG_BRIDGE.into_iter().chain(["message"]).map(|name| (name.into(), Treatment::Scan)).collect();
        let mut policy = Self { undeclared, fields, in_target: Vec::new(), denied: Vec::new() };
        for (target, names) in KNOWN_SAFE {
            policy = policy.safe_in(target, names.iter().copied());
        }
        for name in ["db.statement", "summary"] {
            policy.in_target.push(("sqlx".into(), name.into(), Treatment::Sql));
        }
        policy.denied = DENIED.map(|(target, most)| (target.into(), most)).to_vec();
        policy
    }

    /// Declares fields that never hold PHI. Their values are shown, after a scan.
    pub fn safe<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.declare(names, Treatment::Scan)
    }

    /// Declares fields that never hold PHI when they come from this target or from a module below it.
    pub fn safe_in<N: Into<Cow<'static, str>>>(
        mut self,
        target: impl Into<Cow<'static, str>>,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        let target = target.into();
        self.in_target.extend(names.into_iter().map(|name| (target.clone(), name.into(), Treatment::Scan)));
        self
    }

    /// Declares fields that hold PHI. Their values are replaced by `[PHI]` in either mode, unseen.
    pub fn phi<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.declare(names, Treatment::Phi)
    }

    /// Declares fields that hold SQL: literals are removed, the rest is scanned.
    pub fn sql<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.declare(names, Treatment::Sql)
    }

    /// Denies a target and the modules below it: nothing of it is logged.
    pub fn deny_target(mut self, target: impl Into<Cow<'static, str>>) -> Self {
        self.denied.push((target.into(), LevelFilter::OFF));
        self
    }

    /// Lets a target log that this crate denies because it prints bodies, such as `axum::rejection`.
    pub fn insecure_allow_target(mut self, target: &str) -> Self {
        self.denied.retain(|(denied, _)| denied != target);
        self
    }

    fn declare<N: Into<Cow<'static, str>>>(mut self, names: impl IntoIterator<Item = N>, how: Treatment) -> Self {
        self.fields.extend(names.into_iter().map(|name| (name.into(), how)));
        self
    }

    /// What happens to a field of this target. What was declared PHI by name stays so in every target.
    pub(crate) fn treatment(&self, target: &str, field: &str) -> Treatment {
        // `r#type` is a name that had to be written so.
        let name = field.strip_prefix("r#").unwrap_or(field);
        let named = self.fields.get(name).copied();
        if named == Some(Treatment::Phi) {
            return Treatment::Phi;
        }
        let scoped = self.in_target.iter().rev().find(|(at, of, _)| of == name && is_in(target, at));
        scoped.map(|(_, _, how)| *how).or(named).unwrap_or(self.undeclared)
    }

    pub(crate) fn denies(&self, target: &str, level: &Level) -> bool {
        self.denied.iter().any(|(denied, most)| level > most && is_in(target, denied))
    }
}

/// Whether a target is this module or below it.
fn is_in(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_exact_and_scoped() {
        let policy = RedactPolicy::strict().safe(["status"]).phi(["ward"]).safe_in("a::b", ["ward", "bed"]);
        assert_eq!(policy.treatment("x", "status"), Treatment::Scan);
        assert_eq!(policy.treatment("x", "r#status"), Treatment::Scan);
        assert_eq!(policy.treatment("x", "status_text"), Treatment::Undeclared);
        assert_eq!(policy.treatment("x", "Status"), Treatment::Undeclared);
        assert_eq!(policy.treatment("x", "message"), Treatment::Scan);
        assert_eq!(policy.treatment("a::b::c", "bed"), Treatment::Scan);
        assert_eq!(policy.treatment("a::bc", "bed"), Treatment::Undeclared);
        assert_eq!(policy.treatment("a::b", "ward"), Treatment::Phi);
        assert_eq!(policy.treatment("sqlx::query", "db.statement"), Treatment::Sql);
        assert_eq!(policy.treatment("clinic", "summary"), Treatment::Undeclared);
        assert_eq!(RedactPolicy::scanning().treatment("x", "anything"), Treatment::Scan);
        assert_eq!(RedactPolicy::scanning().treatment("x", "dob"), Treatment::Phi);
        assert_eq!(RedactPolicy::scanning().safe(["dob"]).treatment("x", "dob"), Treatment::Scan);
    }

    #[test]
    fn targets_that_leak_bodies_are_denied_until_named() {
        let policy = RedactPolicy::strict().deny_target("dump");
        assert!(policy.denies("axum::rejection", &Level::ERROR) && policy.denies("dump::x", &Level::ERROR));
        assert!(!policy.denies("dumper", &Level::TRACE) && !policy.denies("axum", &Level::TRACE));
        assert!(policy.denies("tokio_postgres::query", &Level::DEBUG));
        assert!(!policy.denies("tokio_postgres::query", &Level::WARN));
        assert!(!policy.insecure_allow_target("axum::rejection").denies("axum::rejection", &Level::TRACE));
    }
}
