//! The objects in a text.

use std::{collections::BTreeSet, fmt};

use crate::{
    documents::{Document, Place, Position, parse},
    kubernetes::{Object, ObjectError, ObjectKey, ObjectKind, items},
};

/// What a text says, in its order.
#[derive(Debug, Default)]
pub struct Reading {
    pub objects: Vec<Found>,
    pub left_out: Vec<LeftOut>,
    /// Kinds that are not read.
    pub passed_over: BTreeSet<String>,
}

/// An object, and where it was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub object: Object,
    pub place: Place,
}

/// An object that nothing can be made of.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// `None` where it is of no kind that is read.
    pub key: Option<ObjectKey>,
    pub place: Place,
    /// For people: the key, or what else it goes by.
    pub object: String,
    /// From the object's root.
    pub field: String,
    pub reason: String,
}

/// Why a text cannot be used as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `None` where the text is no list of documents.
    pub place: Option<Place>,
    pub position: Option<Position>,
    pub field: String,
    pub reason: String,
}

/// `metadata.name: is missing`; the reason alone where no field is known.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.place.as_ref().map(|place| place.join(&self.field).path);
        match path.as_deref() {
            None | Some("") => f.write_str(&self.reason),
            Some(path) => write!(f, "{path}: {}", self.reason),
        }
    }
}

/// Reads the objects of a text. Kinds that say nothing of packets are passed over: manifests
/// hold much else.
///
/// # Errors
/// The text is neither YAML nor JSON, or has a document that is no Kubernetes object: what it
/// means is not known, so neither is what the rest means without it.
pub fn read(text: &str) -> Result<Reading, Fault> {
    let documents = parse(text).map_err(|error| Fault {
        place: None,
        position: error.position,
        field: String::new(),
        reason: error.to_string(),
    })?;
    let mut reading = Reading::default();
    for document in documents {
        reading.add(document)?;
    }
    Ok(reading)
}

impl Reading {
    /// Adds the objects of a document.
    ///
    /// # Errors
    /// The document is no object; what was added before stays.
    pub fn add(&mut self, Document { place, value }: Document) -> Result<(), Fault> {
        let items = items(value).map_err(|error| fault(place.clone(), error))?;
        for (path, value) in items {
            let place = place.join(&path);
            match Object::parse(value) {
                Ok(object) => self.objects.push(Found { object, place }),
                Err(ObjectError::Unreadable { key, field, reason }) => {
                    let object = key.to_string();
                    self.left_out.push(LeftOut { key: Some(key), place, object, field, reason });
                }
                Err(ObjectError::UnknownKind { api_version, kind }) => {
                    self.pass_over(place, &api_version, &kind);
                }
                Err(error) => return Err(fault(place, error)),
            }
        }
        Ok(())
    }

    /// A kind that would be read in another version is worth a word.
    fn pass_over(&mut self, place: Place, api_version: &str, kind: &str) {
        let known = ObjectKind::ALL.into_iter().find(|it| it.to_string() == kind);
        let Some(known) = known.filter(|it| group(it.api_version()) == group(api_version)) else {
            self.passed_over.insert(format!("{kind} of {api_version}"));
            return;
        };
        self.left_out.push(LeftOut {
            key: None,
            place,
            object: format!("{kind} of {api_version}"),
            field: "apiVersion".to_owned(),
            reason: format!("only {} is read", known.api_version()),
        });
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn fault(place: Place, error: ObjectError) -> Fault {
    let (field, reason) = match error {
        ObjectError::Identity { field, reason } => (field, reason),
        other => (String::new(), other.to_string()),
    };
    Fault { place: Some(place), position: None, field, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fall_apart_and_other_kinds_are_passed_over() {
        let reading = read(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: \
             {name: a}}\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n---\n\
             {apiVersion: v1, kind: NamespaceList, items: [{metadata: {name: b}}]}\n",
        )
        .unwrap();
        let found: Vec<_> = reading
            .objects
            .iter()
            .map(|it| (it.object.key().name.as_str(), it.place.document, it.place.path.as_str()))
            .collect();
        assert_eq!(found, [("a", 1, "items[0]"), ("b", 2, "items[0]")]);
        assert!(reading.left_out.is_empty());
        assert!(reading.passed_over.contains("Deployment of apps/v1"), "{reading:?}");
    }

    #[test]
    fn known_kinds_of_other_versions_are_left_out_by_name() {
        let old = "{apiVersion: networking.k8s.io/v1beta1, kind: NetworkPolicy, metadata: {}}";
        let reading = read(old).unwrap();
        assert_eq!(reading.left_out[0].object, "NetworkPolicy of networking.k8s.io/v1beta1");
        assert_eq!(reading.left_out[0].reason, "only networking.k8s.io/v1 is read");
    }

    #[test]
    fn what_is_no_object_faults_the_text() {
        for (text, document, field) in [
            ("a: [", None, ""),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: p}}\n---\nkind: Pod\n",
                Some(2),
                "apiVersion",
            ),
            ("{apiVersion: v1, kind: Pod, metadata: {}}", Some(1), "metadata.name"),
            ("- 7\n", Some(1), ""),
            ("{apiVersion: v1, kind: PodList, items: 7}", Some(1), "items"),
        ] {
            let fault = read(text).unwrap_err();
            let place = fault.place.as_ref().map(|place| place.document);
            assert_eq!((place, fault.field.as_str()), (document, field), "{text}");
        }
    }
}
