//! The comments of a proto file, by the path of what they stand on.

use std::collections::BTreeMap;

use prost_types::FileDescriptorProto;

/// Comments by path, as `SourceCodeInfo` numbers them.
pub struct Comments(BTreeMap<Vec<i32>, String>);

impl Comments {
    pub fn of(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations.filter_map(|location| {
            let text = location.leading_comments.as_deref()?;
            let lines: Vec<&str> =
                text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
            Some((location.path.clone(), lines.join("\n").trim_end().to_owned()))
        });
        Self(comments.collect())
    }

    pub fn at(&self, path: &[i32]) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }
}

/// Field numbers in descriptor.proto, of which paths are made.
pub mod field {
    pub const PACKAGE: i32 = 2;
    pub const MESSAGE: i32 = 4;
    pub const ENUM: i32 = 5;
    pub const SERVICE: i32 = 6;
    /// In a service.
    pub const METHOD: i32 = 2;
    /// In a message, and in an enum its values.
    pub const MEMBER: i32 = 2;
    pub const NESTED_MESSAGE: i32 = 3;
    pub const NESTED_ENUM: i32 = 4;
    pub const ONEOF: i32 = 8;
}
