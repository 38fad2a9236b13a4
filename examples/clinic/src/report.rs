//! What the tour found, one line for each safeguard.

use core::fmt;
use std::io::{self, Write};

use crate::failure::{Doing, Failure};

/// A safeguard, what was done to it, and what happened.
#[derive(Debug)]
pub(crate) struct Line {
    /// Clause of 45 CFR.
    pub(crate) clause: &'static str,
    /// What was done.
    pub(crate) done: &'static str,
    /// What was measured, or why it failed.
    pub(crate) measured: String,
    pub(crate) ok: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.ok { "ok" } else { "FAILED" };
        write!(f, "{state:<6}  {:<21}  {}: {}", self.clause, self.done, self.measured)
    }
}

/// What this report does not show, and what is done otherwise where patients are real.
const CAVEATS: &str = "\
Not shown: transmission security (164.312(e)), which needs certificates, and emergency access (164.312(a)(2)(ii)).
A deployment keeps its KEK in a KMS or an HSM instead of a file, high-water mark and anchor on another disk, a witness for
the audit log on another machine, and TLS in front. Destroyed keys live on in backups made before, until those are gone.";

/// The lines so far, each printed as it comes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    text: String,
    lines: usize,
    failed: usize,
    unprinted: Option<io::Error>,
}

impl Report {
    pub(crate) fn add(&mut self, line: &Line) {
        self.lines += 1;
        self.failed += usize::from(!line.ok);
        self.say(&format!("{:>2}  {line}", self.lines));
    }

    /// Says something that is no line of its own.
    pub(crate) fn note(&mut self, text: &str) {
        self.say(text);
    }

    pub(crate) const fn failed(&self) -> usize {
        self.failed
    }

    /// Everything that was printed, to be searched for leaks.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Prints the sum and what the demonstration leaves out.
    pub(crate) fn finish(mut self) -> Result<Self, Failure> {
        let (lines, failed) = (self.lines, self.failed);
        self.say(&format!("{lines} safeguards shown, {failed} failed."));
        self.say(CAVEATS);
        match self.unprinted.take() {
            Some(error) => Err(error).doing("printing the report"),
            None => Ok(self),
        }
    }

    fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            self.unprinted.get_or_insert(error);
        }
    }
}
