//! Columns and searches in PostgreSQL.

mod columns;
mod server;
