//! Finds the line of a field that was found wrong after its text was read.
//!
//! Readers know lines only while they read. So the text is read again along the field's path,
//! and what is there is refused: the error knows the line.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Place, Position, may_be_json};

/// Where a place is. A field that is missing is where the nearest thing around it is; `None` for
/// a text that has no such document.
pub fn locate(text: &str, place: &Place) -> Option<Position> {
    let seed = Along(&place.path);
    let skipped = place.document.checked_sub(1)?;
    if may_be_json(text) {
        let mut json = serde_json::Deserializer::from_str(text);
        let skipped = (0..skipped).all(|_| {
            let skipped: Result<IgnoredAny, _> = serde::Deserialize::deserialize(&mut json);
            skipped.is_ok()
        });
        if skipped
            && let Err(error) = seed.deserialize(&mut json)
            && error.is_data()
        {
            return Some(Position { line: error.line(), column: error.column() });
        }
    }
    let document = serde_norway::Deserializer::from_str(text).nth(skipped)?;
    seed.deserialize(document).err()?.location().map(Position::from)
}

/// What is left of the path.
#[derive(Clone, Copy)]
struct Along<'p>(&'p str);

impl Along<'_> {
    /// What is left behind the field of this name, if the path leads through it. Names may have
    /// dots, as labels do.
    fn after_field(self, name: &str) -> Option<Self> {
        let rest = self.0.strip_prefix(name)?;
        match rest.strip_prefix('.') {
            Some(rest) => Some(Self(rest)),
            None if rest.is_empty() || rest.starts_with('[') => Some(Self(rest)),
            None => None,
        }
    }

    /// The item that the path leads through, and what is left behind it.
    fn after_index(self) -> Option<(usize, Self)> {
        let (index, rest) = self.0.strip_prefix('[')?.split_once(']')?;
        Some((index.parse().ok()?, Self(rest.strip_prefix('.').unwrap_or(rest))))
    }
}

fn here<T, E: Error>() -> Result<T, E> {
    Err(E::custom("here"))
}

impl<'de> DeserializeSeed<'de> for Along<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Along<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.0.is_empty() {
            return here();
        }
        while let Some(name) = map.next_key::<String>()? {
            match self.after_field(&name) {
                Some(rest) => map.next_value_seed(rest)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        here()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((index, rest)) = self.after_index() else { return here() };
        for _ in 0..index {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return here();
            }
        }
        items.next_element_seed(rest)?;
        here()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        here()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        here()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        here()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        here()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        here()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        here()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "# two documents
a: 1
---
kind: List
items:
- name: first
- labels:
    app.kubernetes.io/name: 'web'
  ports: [80,
          443]
";

    #[test]
    fn fields_are_found_by_their_path() {
        for (document, path, line) in [
            (1, "a", 2),
            (2, "", 4),
            (2, "kind", 4),
            (2, "items[0].name", 6),
            (2, "items[1].labels.app.kubernetes.io/name", 8),
            (2, "items[1].ports[0]", 9),
            (2, "items[1].ports[1]", 10),
            // What is missing is where it should be.
            (2, "items[1].labels.other", 8),
            (2, "items[0].spec.ports[3]", 6),
        ] {
            let place = Place { document, path: path.to_owned() };
            let found = locate(YAML, &place).map(|it| it.line);
            assert_eq!(found, Some(line), "{document}, {path}");
        }
        for document in [0, 3] {
            assert_eq!(locate(YAML, &Place { document, path: String::new() }), None);
        }
    }

    #[test]
    fn json_has_lines_too() {
        let text = "{\"a\": 1}\n{\n\t\"b\": [\n\t\t1,\n\t\ttrue\n\t]\n}";
        for (document, path, line) in [(1, "a", 1), (2, "b[0]", 4), (2, "b[1]", 5)] {
            let place = Place { document, path: path.to_owned() };
            assert_eq!(locate(text, &place).map(|it| it.line), Some(line), "{document}, {path}");
        }
        let flow = Place { document: 2, path: "b".to_owned() };
        assert_eq!(locate("{a: 1}\n---\n{b: 2}\n", &flow).map(|it| it.line), Some(3));
    }
}
