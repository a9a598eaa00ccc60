//! Kubernetes objects among what is applied.
//!
//! What an object means depends on all others: a policy on the pods that it selects, a pod on
//! the policies that select it. So the objects of one command are all that their owner has, and
//! what they leave no place for goes, unless that shows that some were forgotten.

use std::collections::BTreeSet;

use proto::v1::{Resource, ResourceKey};

use crate::{
    cli::error::CliError,
    grpc,
    kubernetes::{ObjectKey, is_shared, whole},
    manifests::{Directory, Reading},
    model::Key,
};

/// The objects of one command, translated.
#[derive(Debug)]
pub struct Objects {
    pub resources: Vec<Resource>,
    /// What the objects are themselves, but for those that nothing can be made of.
    given: BTreeSet<Key>,
}

impl Objects {
    /// Translates what was read; what is wrong with an object is said to standard error, with
    /// what follows from it.
    pub fn new(readings: Vec<(String, String, Reading)>) -> Self {
        for (file, _, reading) in &readings {
            for kind in &reading.passed_over {
                eprintln!("zonegate: {file}: {kind} is not a kind that is read; passed over");
            }
        }
        let directory = Directory::of(readings);
        for problem in directory.problems() {
            eprintln!("zonegate: {problem}");
        }
        Self {
            resources: directory.resources().map(grpc::resource_to_proto).collect(),
            given: directory.objects().filter_map(ObjectKey::resource).collect(),
        }
    }

    /// Refuses to remove what an earlier command applied, but for what goes with a change of the
    /// objects that were given.
    pub fn account_for(&self, removes: &[ResourceKey]) -> Result<(), CliError> {
        let lost = |key: &&ResourceKey| match grpc::key_from_proto((*key).clone()) {
            Ok(key) => !is_shared(&key) && !self.given.contains(&whole(&key)),
            Err(_) => true,
        };
        match removes.iter().filter(lost).collect::<Vec<_>>()[..] {
            [] => Ok(()),
            [first, ref rest @ ..] => Err(CliError::Incomplete {
                first: super::resource::describe_key(first),
                more: rest.len(),
            }),
        }
    }
}
