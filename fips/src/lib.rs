//! The published vectors of `phi-keys` and `phi-crypto`, computed by the AWS-LC FIPS module instead of ring.
//!
//! It shows that the formats need nothing that the module lacks. It is no validation of this project, and the crates do
//! not use the module yet. ChaCha20-Poly1305 (suite 2) is not approved and left out.
