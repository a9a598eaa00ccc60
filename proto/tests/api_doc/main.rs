//! docs/api.md says what the proto files say.
//!
//! `hack/gen-api-doc` runs this with `ZONEGATE_BLESS` set, which writes the file.

mod comments;
mod render;

use std::{env, fs, path::Path};

use prost::Message;
use prost_types::FileDescriptorSet;

#[test]
fn the_api_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let current = render::document(&files);
    if env::var_os("ZONEGATE_BLESS").is_some() {
        fs::write(&path, current).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let stale = committed.lines().zip(current.lines()).position(|(had, wants)| had != wants);
    assert!(
        committed == current,
        "docs/api.md is stale from line {} on: run hack/gen-api-doc",
        stale.unwrap_or(committed.lines().count().min(current.lines().count())) + 1
    );
}

#[test]
fn everything_in_the_api_is_documented() {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let bare = render::undocumented(&files);
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn every_field_of_a_resource_is_in_the_document_of_resources() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/resources.md");
    let document = fs::read_to_string(path).unwrap();
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let file = files.file.iter().find(|file| file.name().ends_with("resources.proto")).unwrap();
    // Resource and ResourceKey are spelt as `kind` and `name`.
    let messages = file.message_type.iter().filter(|it| !it.name().starts_with("Resource"));
    let missing: Vec<String> = messages
        .flat_map(|message| message.field.iter().map(move |field| (message, field)))
        .filter(|(_, field)| !document.contains(&format!("{}:", field.json_name())))
        .map(|(message, field)| format!("{}.{}", message.name(), field.json_name()))
        .collect();
    assert!(missing.is_empty(), "docs/resources.md does not show {missing:?}");
}
