//! Understanding what `cargo test` prints.

use super::run::Binaries;

/// The tests of one binary, or the documentation examples of one package.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) package: String,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    /// Names of the tests that passed.
    pub(super) names: Vec<String>,
    /// Names of the tests that failed.
    pub(super) failures: Vec<String>,
    pub(super) finished: bool,
}

/// Follows the output line by line.
#[derive(Debug)]
pub(super) struct Listener<'a> {
    binaries: &'a Binaries,
    suites: Vec<Suite>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(binaries: &'a Binaries) -> Self {
        Self { binaries, suites: Vec::new() }
    }

    pub(super) fn line(&mut self, line: &str) {
        if let Some(package) = self.package(line) {
            self.suites.push(Suite { package, ..Suite::default() });
            return;
        }
        let Some(suite) = self.suites.last_mut() else { return };
        if let Some(counts) = line.strip_prefix("test result: ") {
            // A package's documentation may report in two parts.
            suite.passed += count(counts, "passed");
            suite.failed += count(counts, "failed");
            suite.ignored += count(counts, "ignored");
            suite.finished = true;
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... ")) {
            match verdict {
                "ok" => suite.names.push(name.to_owned()),
                "FAILED" => suite.failures.push(name.to_owned()),
                _ => {}
            }
        }
    }

    /// A binary that never reported, because it was killed or aborted, counts as one failure; so does a failure of cargo
    /// that no binary explains.
    pub(super) fn finish(mut self, success: bool) -> Vec<Suite> {
        for suite in self.suites.iter_mut().filter(|suite| !suite.finished) {
            // Several parts of documentation without any example print nothing: that is no failure.
            suite.failed += usize::from(!success);
        }
        if !success && self.suites.iter().all(|suite| suite.failed == 0) {
            self.suites.push(Suite { package: "cargo".to_owned(), failed: 1, ..Suite::default() });
        }
        self.suites
    }

    fn package(&self, line: &str) -> Option<String> {
        let line = line.trim_start();
        if let Some(name) = line.strip_prefix("Doc-tests ") {
            return Some(name.replace('_', "-"));
        }
        let path = line.strip_prefix("Running ")?.rsplit_once('(')?.1.strip_suffix(')')?;
        let file = path.rsplit('/').next()?;
        self.binaries.get(file).cloned()
    }
}

/// The number before `word` in "ok. 12 passed; 0 failed; …".
fn count(counts: &str, word: &str) -> usize {
    let mut words = counts.split([' ', ';', '.']).filter(|word| !word.is_empty()).peekable();
    while let Some(number) = words.next() {
        if words.peek() == Some(&word) {
            return number.parse().unwrap_or(0);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str, success: bool) -> Vec<Suite> {
        let binaries = [("it-1".to_owned(), "phi-keys".to_owned()), ("it-2".to_owned(), "phi-audit".to_owned())].into();
        let mut listener = Listener::new(&binaries);
        text.lines().for_each(|line| listener.line(line));
        listener.finish(success)
    }

    #[test]
    fn results_go_to_the_package_of_their_binary() {
        let suites = listen(
            "     Running tests/it/main.rs (target/debug/deps/it-1)\ntest a::b ... ok\ntest c ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \x20  Doc-tests phi_audit\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
            false,
        );
        let counts: Vec<_> = suites.iter().map(|s| (s.package.as_str(), s.passed, s.failed, s.ignored)).collect();
        assert_eq!(counts, [("phi-keys", 1, 1, 2), ("phi-audit", 3, 0, 0)]);
        let names = suites.first().map(|suite| (suite.names.join(","), suite.failures.join(",")));
        assert_eq!(names, Some(("a::b".to_owned(), "c".to_owned())));
    }

    #[test]
    fn a_binary_that_dies_is_a_failure() {
        let suites = listen("     Running tests/it/main.rs (target/debug/deps/it-2)\nrunning 3 tests\n", false);
        assert_eq!(suites.iter().map(|suite| suite.failed).sum::<usize>(), 1);
    }

    #[test]
    fn a_failure_that_nothing_explains_is_a_failure() {
        assert_eq!(listen("", false).iter().map(|suite| suite.failed).sum::<usize>(), 1);
        assert_eq!(listen("", true), []);
    }
}
