//! Files of any number of documents: YAML, or JSON objects and lists of them.

use serde::Deserialize;
use serde_json::Value;

/// Why a text is no list of documents; the reason names line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document {document}: {reason}")]
pub struct DocumentError {
    /// From 1 on.
    pub document: usize,
    pub reason: String,
}

/// Reads every document that is not empty; the items of a list are documents of their own.
pub fn parse(text: &str) -> Result<Vec<Value>, DocumentError> {
    let failed = |index: usize, reason: String| DocumentError { document: index + 1, reason };
    let mut documents = Vec::new();
    if text.trim_start().starts_with(['{', '[']) {
        // YAML has flow mappings, too; what is no JSON may be that.
        let json = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        match json
            .enumerate()
            .map(|(index, it)| it.map_err(|e| failed(index, e.to_string())))
            .collect()
        {
            Ok(values) => return Ok(flatten(values)),
            Err(error) if text.trim_start().starts_with("{\"") => return Err(error),
            Err(_) => {}
        }
    }
    for (index, document) in serde_norway::Deserializer::from_str(text).enumerate() {
        let value = Value::deserialize(document);
        documents.push(value.map_err(|error| failed(index, error.to_string()))?);
    }
    Ok(flatten(documents))
}

fn flatten(values: Vec<Value>) -> Vec<Value> {
    values
        .into_iter()
        .flat_map(|value| match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            other => vec![other],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_in_any_wrapping() {
        for text in [
            "a: 1\n---\n# nothing\n---\nb: 2\n",
            "{\"a\": 1}\n{\"b\": 2}",
            "[{\"a\": 1}, {\"b\": 2}]",
            "- {a: 1}\n- b: 2\n",
            "{a: 1}\n---\n{b: 2}\n",
        ] {
            let [a, b] = &parse(text).unwrap()[..] else { panic!("{text}") };
            assert_eq!((&a["a"], &b["b"]), (&Value::from(1), &Value::from(2)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_document_and_line() {
        let error = parse("a: 1\n---\nb: [\n").unwrap_err();
        assert_eq!(error.document, 2);
        assert!(parse("{\"a\": }").unwrap_err().reason.contains("line 1"));
    }
}
