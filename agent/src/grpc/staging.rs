//! A transaction while its chunks come in: translated, and digested for its nonce.

use prost::Message;
use proto::v1;
use sha2::{Digest as _, Sha256};

use super::{from_proto, key};
use crate::{
    model::Key,
    refusal::Refusal,
    store::{Content, Digest},
};

#[derive(Default)]
pub(super) struct Staged {
    content: Content,
    digest: Sha256,
    bytes: u64,
    upserts: usize,
    removes: usize,
}

impl Staged {
    /// The encoded size of what was added.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, upserts: Vec<v1::Resource>, removes: Vec<v1::ResourceKey>) {
        for upsert in upserts {
            self.note(UPSERT, &upsert);
            let path = format!("upserts[{}]", self.upserts);
            self.upserts += 1;
            match from_proto::resource(&path, upsert) {
                Ok(resource) => self.content.upserts.push(resource),
                Err(refusals) => self.content.refusals.extend(refusals),
            }
        }
        for remove in removes {
            self.note(REMOVE, &remove);
            match self.remove(remove) {
                Ok(key) => self.content.removes.push(key),
                Err(refusal) => self.content.refusals.push(refusal),
            }
        }
    }

    /// The content, and a digest that is the same however it was cut into chunks.
    pub(super) fn finish(mut self, snapshot: bool) -> (Content, Digest) {
        self.digest.update([u8::from(snapshot)]);
        (self.content, self.digest.finalize().into())
    }

    fn remove(&mut self, remove: v1::ResourceKey) -> Result<Key, Refusal> {
        let path = format!("removes[{}].kind", self.removes);
        self.removes += 1;
        key::from_proto(remove).map_err(|error| Refusal::general(path, error.to_string()))
    }

    fn note(&mut self, what: u8, message: &impl Message) {
        let encoded = message.encode_to_vec();
        self.bytes += encoded.len() as u64;
        self.digest.update([what]);
        self.digest.update((encoded.len() as u64).to_le_bytes());
        self.digest.update(encoded);
    }
}

const UPSERT: u8 = 1;
const REMOVE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> v1::Resource {
        let node = v1::Node { name: name.into(), ..v1::Node::default() };
        v1::Resource { kind: Some(v1::resource::Kind::Node(node)) }
    }

    fn digest(chunks: &[&[&str]], snapshot: bool) -> Digest {
        let mut staged = Staged::default();
        for chunk in chunks {
            staged.add(chunk.iter().map(|name| node(name)).collect(), Vec::new());
        }
        staged.finish(snapshot).1
    }

    #[test]
    fn the_digest_is_of_the_content_and_not_of_its_chunks() {
        let whole = digest(&[&["a", "b"]], false);
        assert_eq!(digest(&[&["a"], &[], &["b"]], false), whole);
        for (other, snapshot) in
            [(&["a", "b"][..], true), (&["b", "a"], false), (&["ab"], false), (&["a"], false)]
        {
            assert_ne!(digest(&[other], snapshot), whole, "{other:?}, snapshot: {snapshot}");
        }
    }
}
