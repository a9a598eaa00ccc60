//! Resources in files: YAML with any number of documents, or JSON.
//!
//! A document is a resource, its `kind` beside its fields, or a list of resources under `items`.
//! Whatever is not understood is an error: a misspelt field must not become a default.
//!
//! A document with `apiVersion` is a Kubernetes object, or a list of them.

mod document;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::Path,
};

use proto::v1::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeSeed};
use serde_json::Value;

use super::resource;
use crate::{
    documents::{self, Place, Position},
    manifests::{self, Fault, Reading},
};
use document::{Document, Outline};

/// The name of a file that stands for standard input.
pub const STDIN: &str = "-";

/// What is in files.
#[derive(Debug, Default)]
pub struct Manifest {
    pub resources: Vec<Resource>,
    /// Kubernetes objects: of each file with any the name, the text and what it says.
    pub objects: Vec<(String, String, Reading)>,
}

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

/// Reads all files in order; of a directory those that [`manifests::names`] names.
pub fn read(files: &[String]) -> Result<Manifest, ManifestError> {
    let mut manifest = Manifest::default();
    let mut seen = BTreeMap::new();
    for file in &expand(files)? {
        let text = text(file)?;
        let parsed = parse(file, &text)?;
        let resources = parsed.resources.iter().map(resource::describe);
        let objects = parsed.objects.objects.iter().map(|it| it.object.key().to_string());
        for resource in resources.chain(objects) {
            if let Some(earlier) = seen.insert(resource.clone(), file.clone()) {
                return Err(ManifestError::Twice { file: file.clone(), resource, earlier });
            }
        }
        manifest.resources.extend(parsed.resources);
        if parsed.has_objects {
            manifest.objects.push((file.clone(), text, parsed.objects));
        }
    }
    Ok(manifest)
}

fn expand(files: &[String]) -> Result<Vec<String>, ManifestError> {
    let mut all = Vec::new();
    for file in files {
        let path = Path::new(file);
        if file == STDIN || !path.is_dir() {
            all.push(file.clone());
            continue;
        }
        let names = manifests::names(path)
            .map_err(|source| ManifestError::Read { file: file.clone(), source })?;
        all.extend(names.iter().map(|name| path.join(name).display().to_string()));
    }
    Ok(all)
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

/// What is in one text.
#[derive(Debug, Default)]
struct Parsed {
    resources: Vec<Resource>,
    objects: Reading,
    /// Also when nothing can be made of them.
    has_objects: bool,
}

/// Reads `text`; `file` is what errors call it.
fn parse(file: &str, text: &str) -> Result<Parsed, ManifestError> {
    let failed = |index: usize, reason: String| ManifestError::Document {
        file: file.to_owned(),
        document: index + 1,
        reason,
    };
    let mut parsed = Parsed::default();
    // Each document is read twice, because its kind may stand behind its fields, and because
    // errors know their line only when fields are read straight from the text.
    if is_json(text) {
        let outlines = serde_json::Deserializer::from_str(text).into_iter::<Outline>();
        let mut again = serde_json::Deserializer::from_str(text);
        for (index, outline) in outlines.enumerate() {
            let outline = outline.map_err(|error| failed(index, error.to_string()))?;
            parsed
                .add(index, &outline, &mut again)
                .map_err(|error| failed(index, error.to_string()))?
                .map_err(|fault| failed(index, located(&fault, text)))?;
        }
    } else {
        let documents = serde_norway::Deserializer::from_str(text);
        let again = serde_norway::Deserializer::from_str(text);
        for (index, (first, second)) in documents.zip(again).enumerate() {
            let outline =
                Outline::deserialize(first).map_err(|error| failed(index, error.to_string()))?;
            parsed
                .add(index, &outline, second)
                .map_err(|error| failed(index, error.to_string()))?
                .map_err(|fault| failed(index, located(&fault, text)))?;
        }
    }
    Ok(parsed)
}

impl Parsed {
    /// Adds the document of this number and outline. The inner error is of a Kubernetes object.
    fn add<'de, D: Deserializer<'de>>(
        &mut self,
        index: usize,
        outline: &Outline,
        document: D,
    ) -> Result<Result<(), Fault>, D::Error> {
        if !outline.is_object() {
            self.resources.extend(Document(outline).deserialize(document)?);
            return Ok(Ok(()));
        }
        self.has_objects = true;
        let value = Value::deserialize(document)?;
        let place = Place { document: index + 1, path: String::new() };
        Ok(self.objects.add(documents::Document { place, value }))
    }
}

/// As errors of the readers say it.
fn located(fault: &Fault, text: &str) -> String {
    let place = fault.place.as_ref().map(|place| place.join(&fault.field));
    match place.and_then(|place| documents::locate(text, &place)) {
        Some(Position { line, column }) => format!("{fault} at line {line} column {column}"),
        None => fault.to_string(),
    }
}

/// Whether an object begins with a quoted name. YAML has that too, but refuses tabs around it.
fn is_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with('"'))
}

#[cfg(test)]
mod tests;
