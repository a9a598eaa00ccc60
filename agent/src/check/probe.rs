//! Questions and answers, as they are in files.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A connection that somebody wants to make.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub id: String,
    /// The node that translates the service; the source pod's when absent.
    #[serde(default)]
    pub node: Option<String>,
    /// `namespace/pod` or an address.
    pub source: String,
    pub destination: String,
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, or an IP protocol number.
    #[serde(default = "tcp")]
    pub protocol: String,
    /// Needed for TCP, UDP and SCTP.
    #[serde(default)]
    pub port: Option<u16>,
}

fn tcp() -> String {
    "TCP".to_owned()
}

/// What happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub id: String,
    pub verdict: Verdict,
    /// The eligible backends as `address:port`, where the destination is a service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<BTreeSet<String>>,
    /// Whether the backend sees another source than the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snat: Option<bool>,
    /// What decided, at each end that has a say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionAt>,
    /// Why it is dropped, where no policy decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Allowed, perhaps translated.
    Forward,
    Drop,
    /// Answered with a TCP reset or an ICMP error.
    Reject,
    /// Not ours.
    Pass,
}

/// What decided at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionAt {
    pub direction: &'static str,
    pub workload: String,
    pub allowed: bool,
    /// `admin`, `network`, `baseline`, or `default` where no policy speaks.
    pub tier: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Empty where the policy isolates and accepts nothing that matches.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
}
