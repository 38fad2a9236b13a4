//! The whole family in one axum application.
#![allow(dead_code)]

mod auth;
mod cli;
mod clock;
mod failure;
mod fhir;
mod hex;
mod pages;
mod population;
mod random;

fn main() {}
