//! The tables of a node, in words that do not depend on how things are numbered.
//!
//! Two images that came about in different ways number endpoints, classes, services, backends and
//! chunks differently, and say the same if their [`lines`] are the same. The image of a running
//! agent is [`read`] from where its maps are pinned.

mod addresses;
mod decisions;
mod pinned;
mod policy;
mod services;

use std::collections::BTreeMap;

use abi::table::{BLOCK_WORDS, Table};
use zonegate::image::Image;

use self::{addresses::Addresses, policy::Rows, services::Records};
pub use self::{
    decisions::Datapath,
    pinned::{Pinned, read},
};

/// What an image says, by what it says it of. Entries that nothing leads to are said too.
pub fn lines(image: &Image) -> BTreeMap<String, String> {
    let mut lines = Lines::default();
    for port in image.ports.values() {
        let what = format!("port of {}", port.workload);
        let address = port.address.map(|it| it.to_string()).unwrap_or_default();
        lines.say(what, format!("{:?} {address}", port.interface));
    }
    let addresses = Addresses::new(image);
    addresses.say(image, &mut lines);
    Rows::new(image).say(&addresses, &mut lines);
    Records::new(image).say(&mut lines);
    lines.0.into_iter().map(|(what, says)| (what, sorted(says).join(" and "))).collect()
}

/// What is said of things that have no name of their own comes in the order of their numbers.
fn sorted(mut says: Vec<String>) -> Vec<String> {
    says.sort_unstable();
    says
}

/// What differs: what it is, what was expected, and what there is instead.
pub fn difference(
    expected: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> Vec<String> {
    let nothing = "nothing".to_owned();
    let text =
        |lines: &BTreeMap<String, String>, key: &String| lines.get(key).unwrap_or(&nothing).clone();
    let only = found.keys().filter(|key| !expected.contains_key(*key));
    let keys = expected.keys().chain(only);
    let differing = keys.filter(|key| expected.get(*key) != found.get(*key));
    differing
        .map(|key| format!("{key}: expected {}, found {}", text(expected, key), text(found, key)))
        .collect()
}

/// Sentences under construction.
#[derive(Debug, Default)]
struct Lines(BTreeMap<String, Vec<String>>);

impl Lines {
    /// What is said twice of the same thing stays visible.
    fn say(&mut self, what: String, says: String) {
        self.0.entry(what).or_default().push(says);
    }
}

/// The workload of a local endpoint; nobody's number is not hidden.
fn workload(image: &Image, endpoint: u16) -> String {
    match (endpoint, image.ports.get(&endpoint)) {
        (0, _) => String::new(),
        (_, Some(port)) => port.workload.clone(),
        (_, None) => format!("nobody's endpoint {endpoint}"),
    }
}

/// Blocks of a table that may hold something.
fn blocks(image: &Image, table: Table) -> u32 {
    (image.words(table).len() / BLOCK_WORDS) as u32
}
