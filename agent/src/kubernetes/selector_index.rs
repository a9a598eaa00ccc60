//! Finds the selectors that may match given labels without asking each.

use std::collections::{BTreeSet, HashMap};

use super::selector::{Labels, Selector};

/// Things known by a selector, by the label that the selector requires.
#[derive(Debug, Default)]
pub(super) struct SelectorIndex<T> {
    by_label: HashMap<String, HashMap<String, BTreeSet<T>>>,
    /// Those whose selectors require no single label.
    others: BTreeSet<T>,
}

impl<T: Copy + Ord> SelectorIndex<T> {
    pub(super) fn new() -> Self {
        Self { by_label: HashMap::new(), others: BTreeSet::new() }
    }

    pub(super) fn insert(&mut self, selector: &Selector, thing: T) {
        let things = match selector.required_label() {
            None => &mut self.others,
            Some((key, value)) => self
                .by_label
                .entry(key.to_owned())
                .or_default()
                .entry(value.to_owned())
                .or_default(),
        };
        things.insert(thing);
    }

    pub(super) fn remove(&mut self, selector: &Selector, thing: T) {
        let Some((key, value)) = selector.required_label() else {
            self.others.remove(&thing);
            return;
        };
        let Some(values) = self.by_label.get_mut(key) else { return };
        if let Some(things) = values.get_mut(value) {
            things.remove(&thing);
            if things.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.by_label.remove(key);
        }
    }

    /// Everything whose selector may match; the selector itself has to be asked.
    pub(super) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = T> {
        let labelled = labels.iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        labelled.chain([&self.others]).flatten().copied()
    }
}
