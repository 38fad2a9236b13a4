//! The AWS adapter against two emulators, because each has gaps where the other has none, and against single answers.

mod emulator;
#[cfg(feature = "test-util")]
mod environment;
mod gaps;
mod ministack;
mod moto;
mod provider;
mod quiet;
mod wire;
