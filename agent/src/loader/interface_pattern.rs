//! Names of interfaces, as the configuration gives them.

use serde::Deserialize;

/// A name, or all names that begin so where the last character is an asterisk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfacePattern {
    text: String,
    is_prefix: bool,
}

/// Why a text is no pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of interfaces: one, or its beginning and an asterisk")]
pub struct BadPattern(String);

impl InterfacePattern {
    pub fn matches(&self, interface: &str) -> bool {
        if self.is_prefix { interface.starts_with(&self.text) } else { interface == self.text }
    }
}

impl TryFrom<String> for InterfacePattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (&*text, false),
        };
        // What matches everything would take the uplinks' neighbours with it.
        if name.is_empty() || name.contains(['*', '/']) || name.contains(char::is_whitespace) {
            return Err(BadPattern(text));
        }
        Ok(Self { text: name.to_owned(), is_prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_one() {
        let pattern = |text: &str| InterfacePattern::try_from(text.to_owned());
        let veth = pattern("veth*").unwrap();
        assert!(veth.matches("veth0a") && veth.matches("veth") && !veth.matches("eth0"));
        let one = pattern("lxc1").unwrap();
        assert!(one.matches("lxc1") && !one.matches("lxc10"));
        for bad in ["", "*", "a*b", "a b", "a/b*"] {
            assert_eq!(pattern(bad), Err(BadPattern(bad.to_owned())));
        }
    }
}
