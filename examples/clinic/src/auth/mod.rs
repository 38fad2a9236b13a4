//! Who signs in: accounts, passwords and one-time codes.

mod accounts;
mod password;
mod role;
mod totp;

pub(crate) use accounts::{Accounts, Credentials, Refusal};
pub(crate) use password::{Password, PasswordHash};
pub(crate) use role::Role;
pub(crate) use totp::TotpSecret;
