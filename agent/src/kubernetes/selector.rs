//! Label selectors, in a canonical form: selectors that say the same are equal.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::names::escaped;

/// Labels of a pod, namespace or node.
pub(super) type Labels = BTreeMap<String, String>;

/// Which labels are meant. All requirements hold; without any, everything is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Selector(BTreeSet<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Requirement {
    In(String, BTreeSet<String>),
    /// Holds also where the key is missing.
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

/// Why a selector means nothing. The field is relative to the selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(super) struct SelectorError {
    pub field: String,
    pub reason: String,
}

impl Selector {
    /// A missing selector is not an empty one: what it means depends on where it is missing.
    pub(super) fn new(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let labels =
            selector.match_labels.iter().flatten().map(|(key, value)| {
                Ok(Requirement::In(key.clone(), BTreeSet::from([value.clone()])))
            });
        let expressions = selector.match_expressions.iter().flatten().enumerate();
        let expressions = expressions.map(|(index, expression)| {
            requirement(expression).map_err(|(field, reason)| SelectorError {
                field: format!("matchExpressions[{index}].{field}"),
                reason,
            })
        });
        labels.chain(expressions).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }

    /// A label that whatever is selected has, for indexes; `None` if there is no single one.
    pub(super) fn required_label(&self) -> Option<(&str, &str)> {
        self.0.iter().find_map(|requirement| match requirement {
            Requirement::In(key, values) if values.len() == 1 => {
                values.first().map(|value| (key.as_str(), value.as_str()))
            }
            _ => None,
        })
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

fn requirement(
    expression: &LabelSelectorRequirement,
) -> Result<Requirement, (&'static str, String)> {
    let key = expression.key.clone();
    if key.is_empty() {
        return Err(("key", "is empty".to_owned()));
    }
    let values: BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
    let operator = expression.operator.as_str();
    match (operator, values.is_empty()) {
        ("In", false) => Ok(Requirement::In(key, values)),
        ("NotIn", false) => Ok(Requirement::NotIn(key, values)),
        ("Exists", true) => Ok(Requirement::Exists(key)),
        ("DoesNotExist", true) => Ok(Requirement::DoesNotExist(key)),
        ("In" | "NotIn", true) => Err(("values", format!("{operator} needs values"))),
        ("Exists" | "DoesNotExist", false) => {
            Err(("values", format!("{operator} goes without values")))
        }
        _ => {
            let known = "In, NotIn, Exists and DoesNotExist";
            Err(("operator", format!("{operator:?} is none of {known}")))
        }
    }
}

/// `{app=web,tier in(a|b),!gone}`; distinct selectors have distinct texts.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| {
            values.iter().map(|value| escaped(value)).collect::<Vec<_>>().join("|")
        };
        match self {
            Self::In(key, values) => write!(f, "{}={}", escaped(key), list(values)),
            Self::NotIn(key, values) => write!(f, "{}!={}", escaped(key), list(values)),
            Self::Exists(key) => f.write_str(&escaped(key)),
            Self::DoesNotExist(key) => write!(f, "!{}", escaped(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: &str) -> Result<Selector, SelectorError> {
        Selector::new(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn labels_are_selected() {
        let matching = |json: &str| {
            let selector = selector(json).unwrap();
            let labels = ["", "app=web", "app=db", "app=web tier=a"];
            labels.map(|text| {
                let labels = text.split_whitespace().filter_map(|label| label.split_once('='));
                selector.matches(&labels.map(|(key, value)| (key.into(), value.into())).collect())
            })
        };
        let expression = |key: &str, operator: &str, values: &str| {
            matching(&format!(
                r#"{{"matchExpressions":[{{"key":"{key}","operator":"{operator}","values":[{values}]}}]}}"#
            ))
        };
        assert_eq!(matching("{}"), [true; 4]);
        assert_eq!(matching(r#"{"matchLabels":{}, "matchExpressions":[]}"#), [true; 4]);
        assert_eq!(matching(r#"{"matchLabels":{"app":"web"}}"#), [false, true, false, true]);
        assert_eq!(
            matching(r#"{"matchLabels":{"app":"web","tier":"a"}}"#),
            [false, false, false, true]
        );
        assert_eq!(expression("app", "In", r#""web","db""#), [false, true, true, true]);
        assert_eq!(expression("app", "NotIn", r#""web""#), [true, false, true, false]);
        assert_eq!(expression("tier", "Exists", ""), [false, false, false, true]);
        assert_eq!(expression("tier", "DoesNotExist", ""), [true, true, true, false]);
        let both = r#"{"matchLabels":{"app":"web"},
            "matchExpressions":[{"key":"tier","operator":"DoesNotExist"}]}"#;
        assert_eq!(matching(both), [false, true, false, false]);
    }

    #[test]
    fn what_means_nothing_is_refused_by_field() {
        for (json, field) in [
            (r#"{"key":"a","operator":"in","values":["b"]}"#, "operator"),
            (r#"{"key":"a","operator":"In"}"#, "values"),
            (r#"{"key":"a","operator":"NotIn","values":[]}"#, "values"),
            (r#"{"key":"a","operator":"Exists","values":["b"]}"#, "values"),
            (r#"{"operator":"Exists"}"#, "key"),
        ] {
            let error = selector(&format!(r#"{{"matchExpressions":[{json}]}}"#)).unwrap_err();
            assert_eq!(error.field, format!("matchExpressions[0].{field}"), "{json}");
        }
    }

    #[test]
    fn selectors_that_say_the_same_are_one() {
        let one = selector(r#"{"matchLabels":{"a":"b"}}"#).unwrap();
        let other = r#"{"matchExpressions":[{"key":"a","operator":"In","values":["b","b"]}]}"#;
        assert_eq!(one, selector(other).unwrap());
        assert_eq!(one.to_string(), "{a=b}");
        assert_eq!(one.required_label(), Some(("a", "b")));
        assert_eq!(Selector::default().to_string(), "{}");
        let three = r#"{"matchExpressions":[{"key":"b","operator":"NotIn","values":["y","x"]},
            {"key":"c","operator":"Exists"},{"key":"a","operator":"DoesNotExist"}]}"#;
        assert_eq!(selector(three).unwrap().to_string(), "{b!=x|y,c,!a}");
    }
}
