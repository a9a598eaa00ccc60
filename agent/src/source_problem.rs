//! What sources of resources tell people: what they could not use, where, and what follows.

use std::fmt;

use crate::kubernetes::Problem;

/// One thing that a source could not use. Fields that say nothing are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceProblem {
    pub file: String,
    /// From 1 on; 0 where none is known.
    pub line: u32,
    /// From 1 on; 0 where none is known.
    pub column: u32,
    /// For example `NetworkPolicy "shop/web"`.
    pub object: String,
    /// As in the object, for example `spec.ingress[0].ports[1].port`.
    pub field: String,
    pub reason: String,
    /// What becomes of the object, the file or the change.
    pub effect: String,
}

/// What translation says of an object, wherever that is from.
impl From<&Problem> for SourceProblem {
    fn from(Problem { object, field, reason, effect }: &Problem) -> Self {
        Self {
            object: object.to_string(),
            field: field.clone(),
            reason: reason.clone(),
            effect: effect.to_string(),
            ..Self::default()
        }
    }
}

/// `shop.yaml:12:7: NetworkPolicy "shop/web", spec.podSelector: is missing (it is left out)`.
impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
            f.write_str(": ")?;
        }
        let subject = [&self.object, &self.field].map(String::as_str);
        let subject: Vec<&str> = subject.into_iter().filter(|it| !it.is_empty()).collect();
        if !subject.is_empty() {
            write!(f, "{}: ", subject.join(", "))?;
        }
        write!(f, "{} ({})", self.reason, self.effect)
    }
}
