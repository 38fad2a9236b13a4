//! What the log and the files hold of the patients: nothing.

use std::fs;

use super::step::{Measured, Miss, expect};
use super::{Tour, Watch};
use crate::failure::Failure;

impl Tour<'_> {
    pub(super) fn leaks(&mut self) {
        let log = self.careless_log();
        self.line("164.502(b)", "a patient's data logged by mistake, four ways", log);
        let files = self.files();
        self.line("164.312(a)(2)(iv)", "every byte of the data folder searched for identifiers", files);
    }

    /// Also the panic hook is on, but the tour does not panic.
    fn careless_log(&self) -> Measured {
        let before = fs::metadata(self.folder.log()).map_err(Failure::file("the log file"))?.len();
        let (name, ssn, mrn) = (self.patient.name.expose(), self.patient.ssn.expose(), self.patient.mrn.expose());
        tracing::info!(patient = %self.patient.name, "typed");
        tracing::info!(name, ssn, "fields that nobody declared");
        tracing::info!("called about SSN {ssn}, MRN {mrn}");
        tracing::info!(error = %format_args!("no row for ssn {ssn}"), "in the text of an error");
        let log = fs::read(self.folder.log()).map_err(Failure::file("the log file"))?;
        let new = usize::try_from(before).ok().and_then(|before| log.get(before..)).unwrap_or_default();
        let lines = new.iter().filter(|byte| **byte == b'\n').count();
        expect(lines >= 4, format!("only {lines} of 4 lines were written"))?;
        let leak = self.needles.scanner().find("clinic.log", new);
        expect(leak.is_none(), format!("the log holds an identifier: {}", leak.as_ref().map_or("", |leak| leak.what)))?;
        Ok(format!("{lines} lines written, no identifier among them"))
    }

    fn files(&self) -> Measured {
        let watch = Watch::start();
        let scanner = self.needles.scanner();
        let (bytes, leaks) = scanner.scan(self.folder.root()).map_err(Failure::file("the data folder"))?;
        if let Some(leak) = leaks.first() {
            return Err(Miss(format!("an identifier ({}) in {} at byte {}", leak.what, leak.file, leak.offset)));
        }
        let leak = scanner.find("the report", self.report.text().as_bytes());
        expect(
            leak.is_none(),
            format!("an identifier ({}) in this report", leak.as_ref().map_or("", |leak| leak.what)),
        )?;
        let mib = bytes as f64 / f64::from(1 << 20);
        Ok(format!(
            "{} values, in clear, UTF-16, hex and base64, not once in {mib:.1} MiB of database, journals, keyring and log ({})",
            self.needles.len(),
            watch.millis()
        ))
    }
}
