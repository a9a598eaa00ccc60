//! Descriptors as Markdown.

use std::fmt::Write;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto, field_descriptor_proto::Type,
};

use super::comments::{Comments, field};

/// The whole document: services first, then what they carry.
pub fn document(files: &FileDescriptorSet) -> String {
    let mut page = Page { text: HEAD.to_owned(), bare: Vec::new() };
    let files: Vec<_> = ours(files).map(|file| (file, Comments::of(file))).collect();
    for (file, comments) in &files {
        page.paragraph(comments.at(&[field::PACKAGE]));
        for (service, index) in file.service.iter().zip(0..) {
            page.service(service, comments, &[field::SERVICE, index]);
        }
    }
    for (file, comments) in &files {
        page.heading(2, &format!("Messages of {}", file.name()));
        page.messages("", &file.message_type, comments, &[field::MESSAGE]);
        page.enums("", &file.enum_type, comments, &[field::ENUM]);
    }
    page.text
}

/// What has no comment, by name. The names of a oneof's choices and of most enum values say it.
pub fn undocumented(files: &FileDescriptorSet) -> Vec<String> {
    let mut page = Page { text: String::new(), bare: Vec::new() };
    for file in ours(files) {
        let comments = Comments::of(file);
        for (service, index) in file.service.iter().zip(0..) {
            page.service(service, &comments, &[field::SERVICE, index]);
        }
        page.messages("", &file.message_type, &comments, &[field::MESSAGE]);
        page.enums("", &file.enum_type, &comments, &[field::ENUM]);
    }
    page.bare
}

fn ours(files: &FileDescriptorSet) -> impl Iterator<Item = &FileDescriptorProto> {
    files.file.iter().filter(|file| file.package() == PACKAGE)
}

struct Page {
    text: String,
    /// What was found without a comment.
    bare: Vec<String>,
}

impl Page {
    fn service(&mut self, service: &ServiceDescriptorProto, comments: &Comments, path: &[i32]) {
        self.heading(2, &format!("Service {}", service.name()));
        self.commented(service.name(), comments.at(path));
        for (method, index) in service.method.iter().zip(0..) {
            let stream = |streaming: bool| if streaming { "stream of " } else { "" };
            self.heading(3, &format!("{}.{}", service.name(), method.name()));
            let signature = format!(
                "Request: {}{}. Response: {}{}.",
                stream(method.client_streaming()),
                link(method.input_type()),
                stream(method.server_streaming()),
                link(method.output_type())
            );
            self.paragraph(&signature);
            self.commented(method.name(), comments.at(&join(path, &[field::METHOD, index])));
        }
    }

    fn messages(
        &mut self,
        outer: &str,
        messages: &[DescriptorProto],
        comments: &Comments,
        path: &[i32],
    ) {
        for (message, index) in messages.iter().zip(0..) {
            // What a map is made of inside.
            if message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry) {
                continue;
            }
            let path = join(path, &[index]);
            let name = format!("{outer}{}", message.name());
            self.heading(3, &name);
            self.commented(&name, comments.at(&path));
            self.fields(&name, message, comments, &path);
            let outer = format!("{name}.");
            self.messages(
                &outer,
                &message.nested_type,
                comments,
                &join(&path, &[field::NESTED_MESSAGE]),
            );
            self.enums(&outer, &message.enum_type, comments, &join(&path, &[field::NESTED_ENUM]));
        }
    }

    fn fields(&mut self, name: &str, message: &DescriptorProto, comments: &Comments, path: &[i32]) {
        if message.field.is_empty() {
            return;
        }
        self.text.push_str("| field | type | meaning |\n|---|---|---|\n");
        for (member, index) in message.field.iter().zip(0..) {
            let mut meaning = comments.at(&join(path, &[field::MEMBER, index])).to_owned();
            let choice =
                member.oneof_index.filter(|_| !member.proto3_optional()).and_then(|oneof| {
                    Some((oneof, message.oneof_decl.get(usize::try_from(oneof).ok()?)?))
                });
            if meaning.is_empty() && choice.is_none() {
                self.bare.push(format!("{name}.{}", member.name()));
            }
            if let Some((oneof, group)) = choice {
                let about = comments.at(&join(path, &[field::ONEOF, oneof]));
                meaning = format!("One of `{}`: {about}\n{meaning}", group.name());
            }
            let kind = type_name(member, message);
            let _ = writeln!(self.text, "| `{}` | {kind} | {} |", member.name(), cell(&meaning));
        }
        self.text.push('\n');
    }

    fn enums(
        &mut self,
        outer: &str,
        enums: &[EnumDescriptorProto],
        comments: &Comments,
        path: &[i32],
    ) {
        for (declared, index) in enums.iter().zip(0..) {
            let path = join(path, &[index]);
            let name = format!("{outer}{}", declared.name());
            self.heading(3, &name);
            self.commented(&name, comments.at(&path));
            self.text.push_str("| value | number | meaning |\n|---|---|---|\n");
            for (value, index) in declared.value.iter().zip(0..) {
                let meaning = cell(comments.at(&join(&path, &[field::MEMBER, index])));
                let _ =
                    writeln!(self.text, "| `{}` | {} | {meaning} |", value.name(), value.number());
            }
            self.text.push('\n');
        }
    }

    fn heading(&mut self, level: usize, text: &str) {
        let _ = writeln!(self.text, "{} {text}\n", "#".repeat(level));
    }

    fn commented(&mut self, name: &str, comment: &str) {
        if comment.is_empty() {
            self.bare.push(name.to_owned());
        }
        self.paragraph(comment);
    }

    fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.text, "{text}\n");
        }
    }
}

fn type_name(member: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    use prost_types::field_descriptor_proto::Label;
    let map = message.nested_type.iter().find(|nested| {
        nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
            && member.type_name().ends_with(&format!(".{}.{}", message.name(), nested.name()))
    });
    if let Some(entry) = map {
        let part = |index: usize| type_name(&entry.field[index], entry);
        return format!("map from {} to {}", part(0), part(1));
    }
    let name = match member.r#type() {
        Type::Message | Type::Enum => link(member.type_name()),
        Type::String => "string".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Uint64 => "uint64".to_owned(),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match member.label() {
        Label::Repeated => format!("repeated {name}"),
        _ if member.proto3_optional() => format!("optional {name}"),
        _ => name,
    }
}

/// `.zonegate.v1.ResourceKey.Kind` as a link to its heading.
fn link(type_name: &str) -> String {
    let name =
        type_name.trim_start_matches('.').trim_start_matches(PACKAGE).trim_start_matches('.');
    let anchor: String = name.to_lowercase().chars().filter(|char| *char != '.').collect();
    format!("[{name}](#{anchor})")
}

/// A comment in a table's cell: one line.
fn cell(comment: &str) -> String {
    comment.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn join(path: &[i32], more: &[i32]) -> Vec<i32> {
    [path, more].concat()
}

const PACKAGE: &str = "zonegate.v1";
const HEAD: &str = "\
# The gRPC API

Generated from the comments in `proto/zonegate/v1/*.proto` by `hack/gen-api-doc`; a test fails
when it is stale. The agent also serves `grpc.health.v1.Health` and server reflection, so that
`grpcurl -plaintext -unix /run/zonegate/zonegate.sock list` works.

";
