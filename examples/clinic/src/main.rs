//! The whole family in one axum application.
#![allow(dead_code)]

mod auth;
mod cli;
mod clock;
mod db;
mod failure;
mod fhir;
mod folder;
mod hex;
mod import;
mod leak;
mod pages;
mod population;
mod random;
mod records;
mod report;
mod tour;

fn main() {}
