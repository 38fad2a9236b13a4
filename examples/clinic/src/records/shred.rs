//! Forgetting a patient.

use phi_crypto::IndexColumn;
use phi_types::{Actor, Clock, Recorder, SubjectId};

use super::Records;
use crate::failure::Failure;
