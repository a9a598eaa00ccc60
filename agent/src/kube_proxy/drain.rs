//! Has the kernel go on translating the connections that rules have translated.
//!
//! Connection tracking knows them, but works only while something asks for it, and translates only
//! while there is a chain of type nat; both may end with kube-proxy's last rule. So before these go a
//! table of our own comes, with one such chain and a rule that asks, which changes nothing.

use super::{FAMILIES, Program, Removal};

pub(super) const TABLE: &str = "zonegate-drain";

/// Has to come before anything is removed.
pub(super) fn begin() -> Removal {
    let table = |family: &str| {
        format!(
            "add table {family} {TABLE}\n\
             flush table {family} {TABLE}\n\
             add chain {family} {TABLE} postrouting \
             {{ type nat hook postrouting priority srcnat; }}\n\
             add rule {family} {TABLE} postrouting ct state new accept\n"
        )
    };
    Removal {
        what: Vec::new(),
        program: Program::new("nft", &["-f", "-"]),
        input: FAMILIES.map(table).concat(),
    }
}

/// Once the connections are over.
pub(super) fn end() -> Removal {
    Removal {
        what: FAMILIES.map(|family| format!("nftables: table {family} {TABLE}")).to_vec(),
        program: Program::new("nft", &["-f", "-"]),
        input: FAMILIES.map(|family| format!("delete table {family} {TABLE}\n")).concat(),
    }
}
