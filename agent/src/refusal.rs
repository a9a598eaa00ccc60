//! Why a transaction was not accepted, in the words its author needs.

use std::fmt;

use crate::model::Key;

/// One reason: the resource, the path of the field in it, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `None` when no resource can be named: one without a kind, or a capacity that all share.
    pub key: Option<Key>,
    /// As in the proto file, for example `frontends[1].port`; empty for the whole resource.
    pub field: String,
    pub reason: String,
}

impl Refusal {
    pub fn new(key: Key, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: Some(key), field: field.into(), reason: reason.into() }
    }

    /// A reason that concerns no resource by name.
    pub fn general(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: None, field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, self.field.as_str()) {
            (None, "") => f.write_str(&self.reason),
            (None, field) => write!(f, "{field}: {}", self.reason),
            (Some(key), "") => write!(f, "{key}: {}", self.reason),
            (Some(key), field) => write!(f, "{key}, {field}: {}", self.reason),
        }
    }
}

impl std::error::Error for Refusal {}
