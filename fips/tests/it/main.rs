//! The crates on the validated module.

mod cross;
mod fork;
mod indicator;
mod module;
mod refused;
mod services;
mod support;
mod vectors;
