//! Integration tests of `phi-redact`.
