//! Columns, searches, resealing and shredding in PostgreSQL.

mod columns;
mod reseal;
mod search;
mod server;
mod shred;
