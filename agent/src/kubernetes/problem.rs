//! What is wrong with an object, where, and what follows from it.

use std::{collections::BTreeMap, fmt};

use super::ObjectKey;

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub object: ObjectKey,
    /// As in the object, for example `spec.ingress[0].ports[1].port`; empty for the whole.
    pub field: String,
    pub reason: String,
    pub effect: Effect,
}

/// Keeps what is wrong with an object now, in the place of what was.
pub(super) fn note(
    known: &mut BTreeMap<ObjectKey, Vec<Problem>>,
    object: ObjectKey,
    problems: Vec<Problem>,
) {
    if problems.is_empty() {
        known.remove(&object);
    } else {
        known.insert(object, problems);
    }
}

/// What becomes of an object that something is wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The object holds but for what the field says.
    FieldIgnored,
    /// The rule matches nothing if it accepts; else it denies everything.
    RuleFailsClosed,
    /// The object changes nothing.
    LeftOut,
    /// The form of the object that was accepted last still holds.
    LastFormKept,
    /// The pods that the policy selects are isolated.
    PodsIsolated,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {} ({})", self.reason, self.effect)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldIgnored => "ignored",
            Self::RuleFailsClosed => "the rule fails closed",
            Self::LeftOut => "the object is left out",
            Self::LastFormKept => "its last accepted form holds",
            Self::PodsIsolated => "the pods it selects are isolated",
        })
    }
}

/// What was found while one object was read, before anyone knows what follows from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Findings(Vec<Finding>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    field: String,
    reason: String,
    /// `None`: the object cannot be used.
    effect: Option<Effect>,
}

impl Findings {
    /// Notes what makes the whole object unusable; returns nothing, in place of a value.
    pub(super) fn refuse<T>(
        &mut self,
        field: impl Into<String>,
        reason: impl fmt::Display,
    ) -> Option<T> {
        self.push(field.into(), reason, None);
        None
    }

    /// Notes what the object can do without.
    pub(super) fn ignore(&mut self, field: impl Into<String>, reason: impl fmt::Display) {
        self.push(field.into(), reason, Some(Effect::FieldIgnored));
    }

    /// Notes a rule that is not understood.
    pub(super) fn fail_closed(&mut self, field: impl Into<String>, reason: impl fmt::Display) {
        self.push(field.into(), reason, Some(Effect::RuleFailsClosed));
    }

    pub(super) fn refused(&self) -> bool {
        self.0.iter().any(|finding| finding.effect.is_none())
    }

    /// The problems of `object`, where it being unusable has effect `refused`.
    ///
    /// What is noted of an object that is refused anyway would mislead: it is left out.
    pub(super) fn problems(&self, object: &ObjectKey, refused: Effect) -> Vec<Problem> {
        let unusable = self.refused();
        self.0
            .iter()
            .filter(|finding| finding.effect.is_none() == unusable)
            .map(|finding| Problem {
                object: object.clone(),
                field: finding.field.clone(),
                reason: finding.reason.clone(),
                effect: finding.effect.unwrap_or(refused),
            })
            .collect()
    }

    fn push(&mut self, field: String, reason: impl fmt::Display, effect: Option<Effect>) {
        self.0.push(Finding { field, reason: reason.to_string(), effect });
    }
}
