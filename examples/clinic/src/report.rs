//! What the tour found, one line for each safeguard.

use std::io::{self, Write};

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

/// The lines so far, printed as they come.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(crate) fn failed(&self) -> usize {
        self.lines.iter().filter(|line| !line.ok).count()
    }

    /// The whole report as text, which is also what is searched for leaks.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            let state = if line.ok { "ok" } else { "FAILED" };
            text += &format!("{:>2}  {state:<6}  {:<21}  {}: {}\n", number + 1, line.clause, line.done, line.measured);
        }
        text += &format!("{} safeguards shown, {} failed\n", self.lines.len(), self.failed());
        text
    }

    pub(crate) fn print(&self, mut out: impl Write) -> io::Result<()> {
        out.write_all(self.text().as_bytes())?;
        out.flush()
    }
}
