//! Why a transaction was not accepted, in the words its author needs.

use std::fmt;

use crate::model::Key;

/// One reason: the resource, the path of the field in it, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub key: Key,
    /// As in the proto file, for example `frontends[1].port`; empty for the whole resource.
    pub field: String,
    pub reason: String,
}

impl Refusal {
    pub fn new(key: Key, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key, field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}: {}", self.key, self.reason)
        } else {
            write!(f, "{}, {}: {}", self.key, self.field, self.reason)
        }
    }
}

impl std::error::Error for Refusal {}
