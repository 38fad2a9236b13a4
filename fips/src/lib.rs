//! `phi-keys` and `phi-crypto` on the AWS-LC FIPS module: that the module's indicator finds each operation approved, that both
//! backends agree on the published vectors and open what the other one sealed, and that what is not approved is refused.
//!
//! It is no validation of this project.
