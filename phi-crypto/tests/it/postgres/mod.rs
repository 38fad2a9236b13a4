//! Columns and searches in PostgreSQL.

mod columns;
mod search;
mod server;
