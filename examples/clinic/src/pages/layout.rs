//! The frame of every page.

use maud::{DOCTYPE, Markup, html};

use crate::auth::Role;

/// Served at `/style.css`; the content security policy allows no other style.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Who looks at the page.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) login: String,
    pub(crate) role: Role,
}

pub(super) fn frame(title: &str, who: Option<&Who>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Clinic" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="data:,";
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    strong { "Clinic" }
                    @if let Some(who) = who { (menu(who)) }
                }
                main #main tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    }
}

fn menu(who: &Who) -> Markup {
    html! {
        nav aria-label="Main" {
            @match who.role {
                Role::Clinician => { a href="/search" { "Patients" } }
                Role::SecurityOfficer => {
                    a href="/audit" { "Audit log" }
                    a href="/sessions" { "Sessions" }
                    a href="/keys" { "Keys" }
                }
            }
        }
        form.logout method="post" action="/logout" {
            span { (who.login) " (" (who.role.label()) ")" }
            button { "Sign out" }
        }
    }
}

/// A refusal in plain words.
pub(crate) fn problem(title: &str, text: &str, who: Option<&Who>) -> Markup {
    frame(title, who, &html! { p role="alert" { (text) } p { a href="/" { "Back to the start" } } })
}
