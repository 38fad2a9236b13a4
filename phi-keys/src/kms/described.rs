//! Errors of SDKs as text, without the responses that they hold.

use core::fmt;
use std::error::Error;

/// An error in the words of a service or its SDK.
#[derive(Debug)]
pub(crate) struct Described(String);

impl Described {
    /// The text of an error and of what lies under it.
    pub(crate) fn of(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let said = cause.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            source = cause.source();
        }
        Self(text)
    }

    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Described {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    #[test]
    fn every_layer_is_told_once() {
        let bottom = Layer("refused", None);
        let middle = Layer("cannot connect: refused", Some(Box::new(bottom)));
        let top = Layer("no answer", Some(Box::new(middle)));
        assert_eq!(Described::of(&top).to_string(), "no answer: cannot connect: refused");
    }
}
