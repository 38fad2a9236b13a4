//! Columns and searches in PostgreSQL.

mod columns;
mod reseal;
mod search;
mod server;
