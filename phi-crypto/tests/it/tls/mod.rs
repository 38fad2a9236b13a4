//! TLS by one policy: what is accepted on the wire, and what is refused before anything is sent.

mod files;
mod handshakes;
mod openssl;
#[cfg(feature = "postgres")]
mod postgres;
mod reload;
mod services;
mod support;
