//! Resources in files: YAML with any number of documents, or JSON.
//!
//! A document is a resource, its `kind` beside its fields, or a list of resources under `items`.
//! Whatever is not understood is an error: a misspelt field must not become a default.

mod document;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
};

use proto::v1::Resource;
use serde::{Deserialize, de::DeserializeSeed};

use super::resource;
use document::{Document, Outline};

/// The name of a file that stands for standard input.
pub const STDIN: &str = "-";

/// Why files are not resources.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file}, document {document}: {reason}")]
    Document { file: String, document: usize, reason: String },
    #[error("{file}: {resource} was given before, in {earlier}")]
    Twice { file: String, resource: String, earlier: String },
}

/// Reads the resources of all files, in order.
pub fn read(files: &[String]) -> Result<Vec<Resource>, ManifestError> {
    let mut resources = Vec::new();
    let mut seen = BTreeMap::new();
    for file in files {
        for parsed in parse(file, &text(file)?)? {
            let resource = resource::describe(&parsed);
            if let Some(earlier) = seen.insert(resource.clone(), file.clone()) {
                return Err(ManifestError::Twice { file: file.clone(), resource, earlier });
            }
            resources.push(parsed);
        }
    }
    Ok(resources)
}

fn text(file: &str) -> Result<String, ManifestError> {
    let read = if file == STDIN {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    read.map_err(|source| ManifestError::Read { file: file.to_owned(), source })
}

/// Reads the resources in `text`; `file` is what errors call it.
fn parse(file: &str, text: &str) -> Result<Vec<Resource>, ManifestError> {
    let failed = |index: usize, reason: String| ManifestError::Document {
        file: file.to_owned(),
        document: index + 1,
        reason,
    };
    let mut resources = Vec::new();
    // Each document is read twice, because its kind may stand behind its fields, and because
    // errors know their line only when fields are read straight from the text.
    if is_json(text) {
        let outlines = serde_json::Deserializer::from_str(text).into_iter::<Outline>();
        let mut again = serde_json::Deserializer::from_str(text);
        for (index, outline) in outlines.enumerate() {
            let outline = outline.map_err(|error| failed(index, error.to_string()))?;
            let document = Document(&outline)
                .deserialize(&mut again)
                .map_err(|error| failed(index, error.to_string()))?;
            resources.extend(document);
        }
    } else {
        let documents = serde_norway::Deserializer::from_str(text);
        let again = serde_norway::Deserializer::from_str(text);
        for (index, (first, second)) in documents.zip(again).enumerate() {
            let outline =
                Outline::deserialize(first).map_err(|error| failed(index, error.to_string()))?;
            let document = Document(&outline)
                .deserialize(second)
                .map_err(|error| failed(index, error.to_string()))?;
            resources.extend(document);
        }
    }
    Ok(resources)
}

/// Whether an object begins with a quoted name. YAML has that too, but refuses tabs around it.
fn is_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with('"'))
}

#[cfg(test)]
mod tests;
