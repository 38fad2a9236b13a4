//! The key-encryption key, and the destruction of a patient's key.

use maud::{Markup, html};

use super::layout::{Who, frame};

/// What became of what was asked for.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(String),
    Refused(&'static str),
}

/// The page of a security officer. `kek` is the key-encryption key in use.
pub(crate) fn keys(who: &Who, kek: &str, outcome: Option<&Outcome>) -> Markup {
    frame(
        "Keys",
        Some(who),
        &html! {
            @match outcome {
                Some(Outcome::Done(text)) => { p role="status" { (text) } }
                Some(Outcome::Refused(text)) => { p role="alert" { (text) } }
                None => {}
            }
            h2 { "Key-encryption key" }
            p { "In use: " (kek) }
            form method="post" action="/keys/rotate" {
                p { "A new version is made, and every domain key is put under it. Records open as before." }
                button { "Rotate" }
            }
            h2 { "Destroy a patient's record" }
            form method="post" action="/keys/shred" {
                p { "The patient's key is destroyed. Nobody can undo this, and nobody can read the record afterwards." }
                label for="mrn" { "Medical record number, complete" }
                input #mrn name="mrn" autocomplete="off" spellcheck="false" required;
                label for="again" { "The same number again" }
                input #again name="again" autocomplete="off" spellcheck="false" required;
                button { "Destroy" }
            }
        },
    )
}
