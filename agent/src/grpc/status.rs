//! The store's errors as gRPC status codes.

use tonic::Status;

use crate::store::{Gone, WriteError};

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::StaleEpoch { .. }
            | WriteError::SnapshotRequired
            | WriteError::NoSession => Self::failed_precondition(message),
            WriteError::Live { .. } => Self::already_exists(message),
            WriteError::NonceReused(_) => Self::invalid_argument(message),
            WriteError::Commit(_) => Self::internal(message),
        }
    }
}

impl From<Gone> for Status {
    fn from(gone: Gone) -> Self {
        Self::unavailable(gone.to_string())
    }
}
