//! The few values of a key, of which nearly all keys have one.

use std::collections::{BTreeMap, btree_map::Entry};

/// In order, each once. A set takes eleven times the room of its first value.
pub(crate) type Few<V> = Vec<V>;

/// Adds a value of a key; says whether it is new.
pub(crate) fn insert<K: Ord, V: Ord>(map: &mut BTreeMap<K, Few<V>>, key: K, value: V) -> bool {
    match map.entry(key) {
        Entry::Vacant(place) => {
            // Not pushed: the first push makes room for four.
            place.insert(vec![value]);
            true
        }
        Entry::Occupied(mut values) => {
            let place = values.get().binary_search(&value);
            if let Err(place) = place {
                values.get_mut().insert(place, value);
            }
            place.is_err()
        }
    }
}

/// Takes a value away, and its key with the last one.
pub(crate) fn remove<K: Ord, V: PartialEq<Q>, Q: ?Sized>(
    map: &mut BTreeMap<K, Few<V>>,
    key: &K,
    value: &Q,
) {
    if let Some(values) = map.get_mut(key) {
        values.retain(|it| *it != *value);
        if values.is_empty() {
            map.remove(key);
        }
    }
}
