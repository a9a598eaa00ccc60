//! Files of any number of documents: YAML, or JSON objects and lists of them.

mod locate;

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

pub use locate::locate;

/// One document, with where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub place: Place,
    pub value: Value,
}

/// Where in a text something is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Of the text's documents, from 1 on.
    pub document: usize,
    /// From the document's root, for example `items[3]`; empty for the whole document.
    pub path: String,
}

/// A place in a text as an editor shows it; both count from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// Why a text is no list of documents; the reason names line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document {document}: {reason}")]
pub struct DocumentError {
    /// From 1 on.
    pub document: usize,
    pub reason: String,
    pub position: Option<Position>,
}

/// Reads every document that is not empty; the items of a list are documents of their own.
pub fn parse(text: &str) -> Result<Vec<Document>, DocumentError> {
    let mut documents = Vec::new();
    if may_be_json(text) {
        let json = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        match json
            .enumerate()
            .map(|(index, it)| it.map_err(|error| DocumentError::json(index, &error)))
            .collect()
        {
            Ok(values) => return Ok(flatten(values)),
            Err(error) if text.trim_start().starts_with("{\"") => return Err(error),
            Err(_) => {}
        }
    }
    for (index, document) in serde_norway::Deserializer::from_str(text).enumerate() {
        let value = Value::deserialize(document);
        documents.push(value.map_err(|error| DocumentError::yaml(index, &error))?);
    }
    Ok(flatten(documents))
}

impl Place {
    /// A place within this one.
    pub fn join(&self, path: &str) -> Self {
        let separator =
            if self.path.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
        Self { document: self.document, path: format!("{}{separator}{path}", self.path) }
    }
}

impl DocumentError {
    fn json(index: usize, error: &serde_json::Error) -> Self {
        let position = Position { line: error.line(), column: error.column() };
        Self { document: index + 1, reason: error.to_string(), position: Some(position) }
    }

    fn yaml(index: usize, error: &serde_norway::Error) -> Self {
        let position = error.location().map(Position::from);
        Self { document: index + 1, reason: error.to_string(), position }
    }
}

impl From<serde_norway::Location> for Position {
    fn from(location: serde_norway::Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// YAML has flow mappings, too; what is no JSON may be that.
fn may_be_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

fn flatten(values: Vec<Value>) -> Vec<Document> {
    let of = |(index, value)| {
        let place = Place { document: index + 1, path: String::new() };
        match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, value)| Document { place: place.join(&format!("[{index}]")), value })
                .collect(),
            value => vec![Document { place, value }],
        }
    };
    values.into_iter().enumerate().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_in_any_wrapping() {
        for (text, places) in [
            ("a: 1\n---\n# nothing\n---\nb: 2\n", [(1, ""), (3, "")]),
            ("{\"a\": 1}\n{\"b\": 2}", [(1, ""), (2, "")]),
            ("[{\"a\": 1}, {\"b\": 2}]", [(1, "[0]"), (1, "[1]")]),
            ("- {a: 1}\n- b: 2\n", [(1, "[0]"), (1, "[1]")]),
            ("{a: 1}\n---\n{b: 2}\n", [(1, ""), (2, "")]),
        ] {
            let [a, b] = &parse(text).unwrap()[..] else { panic!("{text}") };
            let values = (&a.value["a"], &b.value["b"]);
            assert_eq!(values, (&Value::from(1), &Value::from(2)), "{text}");
            let found = [a, b].map(|it| (it.place.document, it.place.path.as_str()));
            assert_eq!(found, places, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_document_and_line() {
        let error = parse("a: 1\n---\nb: [\n").unwrap_err();
        assert_eq!(error.document, 2);
        assert!(error.position.is_some_and(|position| position.line >= 3), "{error:?}");
        let error = parse("{\"a\": }").unwrap_err();
        assert!(error.reason.contains("line 1"));
        assert_eq!(error.position, Some(Position { line: 1, column: 7 }));
    }
}
