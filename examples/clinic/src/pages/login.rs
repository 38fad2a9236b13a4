//! Signing in, in two steps.

use maud::{Markup, html};

use super::layout::frame;

/// The first step. `refused` is the same for an unknown name, a wrong password and a locked account.
pub(crate) fn login(notice: Option<&str>) -> Markup {
    frame(
        "Sign in",
        None,
        &html! {
            @if let Some(notice) = notice { p role="alert" { (notice) } }
            form method="post" action="/login" {
                label for="login" { "Account" }
                input #login name="login" autocomplete="username" autocapitalize="none" spellcheck="false" required;
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password" required;
                button { "Continue" }
            }
        },
    )
}

/// The second step.
pub(crate) fn code(notice: Option<&str>) -> Markup {
    frame(
        "One-time code",
        None,
        &html! {
            @if let Some(notice) = notice { p role="alert" { (notice) } }
            form method="post" action="/login/code" {
                label for="code" { "The six digits that your authenticator shows" }
                input #code name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="7" required;
                button { "Sign in" }
            }
            form method="post" action="/logout" { button { "Cancel" } }
        },
    )
}
