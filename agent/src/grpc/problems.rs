//! Collects what is wrong with one message, by field path.

use std::{fmt::Display, net::IpAddr};

use crate::{
    model::{Key, PortRange},
    refusal::Refusal,
};

/// What was found wrong with the resource of one key.
pub(super) struct Problems {
    key: Key,
    refusals: Vec<Refusal>,
}

impl Problems {
    pub(super) fn new(key: Key) -> Self {
        Self { key, refusals: Vec::new() }
    }

    /// The value, if nothing was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Refusal>> {
        match value {
            Some(value) if self.refusals.is_empty() => Ok(value),
            _ => Err(self.refusals),
        }
    }

    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Display) {
        self.refusals.push(Refusal::new(self.key.clone(), field, reason.to_string()));
    }

    /// The value, or a note of the error.
    pub(super) fn take<T, E: Display>(
        &mut self,
        field: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Reads every item of a repeated field; `read` is told the item's path.
    pub(super) fn list<M, T>(
        &mut self,
        field: &str,
        messages: Vec<M>,
        mut read: impl FnMut(&mut Self, String, M) -> Option<T>,
    ) -> Vec<T> {
        messages
            .into_iter()
            .enumerate()
            .filter_map(|(index, message)| read(self, format!("{field}[{index}]"), message))
            .collect()
    }

    /// A value of an enum, which `translate` gives for all but the unspecified one.
    pub(super) fn enumeration<M: TryFrom<i32>, T>(
        &mut self,
        field: impl Into<String>,
        number: i32,
        translate: impl FnOnce(M) -> Option<T>,
    ) -> Option<T> {
        let field = field.into();
        let Ok(message) = M::try_from(number) else {
            self.add(field, format!("this agent does not know value {number}"));
            return None;
        };
        let value = translate(message);
        if value.is_none() {
            self.add(field, "is not set");
        }
        value
    }

    pub(super) fn address(&mut self, field: impl Into<String>, text: &str) -> Option<IpAddr> {
        self.take(field, text.parse().map_err(|_| format!("{text:?} is not an IP address")))
    }

    pub(super) fn port(&mut self, field: impl Into<String>, port: u32) -> Option<u16> {
        self.take(field, PortRange::new(port, port)).map(PortRange::first)
    }

    /// Notes the features that are asked for and not there.
    pub(super) fn features(&mut self, required: &[String]) {
        for (index, feature) in required.iter().enumerate() {
            if !super::FEATURES.contains(&feature.as_str()) {
                let reason = format!("this agent does not have feature {feature:?}");
                self.add(format!("required_features[{index}]"), reason);
            }
        }
    }
}
