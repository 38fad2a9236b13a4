//! The PKCS#11 adapter against SoftHSM2, a real token in software.

mod opensc;
mod softhsm;
mod softhsm_lost;
mod token;
