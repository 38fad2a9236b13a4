//! Resealing stored values: what a job does, survives, and leaves alone.

mod job;
#[cfg(unix)]
mod kill;
mod meanwhile;
mod rows;
