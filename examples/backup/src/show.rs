//! What people and the audit log see.

use std::error::Error;
use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use phi_crypto::backup::Progress;
use phi_types::{Activity, Detail, Outcome};

/// A progress bar on standard error, where that is a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        // The template is a constant; without it the bar looks plainer.
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    pub(crate) fn callback(&self) -> impl FnMut(Progress) + Send + 'static {
        let bar = self.0.clone();
        move |now| {
            bar.set_length(now.total);
            bar.set_position(now.done);
        }
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A line for people and one for the audit log.
pub(crate) fn result(said: &str, activity: &Activity) -> io::Result<()> {
    writeln!(io::stdout(), "{said}\n{}", json(activity))
}

pub(crate) fn failure(error: &dyn Error) -> io::Result<()> {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    writeln!(io::stderr(), "phi-backup: {text}")
}

/// An activity as one line. An application hands it to its recorder instead.
pub(crate) fn json(activity: &Activity) -> String {
    let outcome = if activity.outcome == Outcome::Success { "success" } else { "failed" };
    let details = activity.details.iter().map(|(name, detail)| {
        let value = match detail {
            Detail::Text(text) => format!("\"{text}\""),
            Detail::Count(count) => count.to_string(),
            Detail::Flag(flag) => flag.to_string(),
            Detail::Time(time) => format!("\"{time}\""),
            Detail::Bytes(bytes) => format!("\"{}\"", hex(bytes)),
            _ => "null".to_owned(),
        };
        format!(",\"{name}\":{value}")
    });
    let details: String = details.collect();
    format!("{{\"kind\":\"{}\",\"outcome\":\"{outcome}\",\"at\":\"{}\"{details}}}", activity.kind, activity.at)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
