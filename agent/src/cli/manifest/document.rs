//! One document: how `kind` beside the fields selects what the fields mean.

use std::fmt;

use proto::v1::{Resource, resource};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};

use crate::cli::kind::KINDS;

/// What a first look at a document tells.
#[derive(Debug, Default)]
pub struct Outline {
    kind: Option<String>,
    /// The outlines of `items`.
    items: Option<Vec<Outline>>,
    /// It has `apiVersion`, which no resource has.
    is_object: bool,
    empty: bool,
}

impl Outline {
    /// Whether it is one or many Kubernetes objects.
    pub fn is_object(&self) -> bool {
        self.is_object
    }
}

/// A document, read in the light of its outline: the resources in it.
pub struct Document<'a>(pub &'a Outline);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Vec<Resource>;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Vec<Resource>, D::Error> {
        if self.0.empty {
            return IgnoredAny::deserialize(document).map(|_| Vec::new());
        }
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Vec<Resource>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Resource>, A::Error> {
        match (self.0.kind.as_deref(), &self.0.items) {
            (None | Some(LIST), Some(outlines)) => list(outlines, map),
            (Some(LIST), None) => Err(A::Error::missing_field("items")),
            (Some(kind), _) => resource_of_kind(kind, map).map(|resource| vec![resource]),
            (None, None) => Err(A::Error::missing_field("kind")),
        }
    }
}

fn list<'de, A: MapAccess<'de>>(
    outlines: &[Outline],
    mut map: A,
) -> Result<Vec<Resource>, A::Error> {
    let mut resources = Vec::new();
    while let Some(field) = map.next_key::<String>()? {
        match field.as_str() {
            "kind" => drop(map.next_value::<IgnoredAny>()?),
            "items" => resources = map.next_value_seed(Items(outlines))?,
            other => return Err(A::Error::unknown_field(other, &["kind", "items"])),
        }
    }
    Ok(resources)
}

/// The value of `items`.
struct Items<'a>(&'a [Outline]);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<Resource>;

    fn deserialize<D: Deserializer<'de>>(self, items: D) -> Result<Vec<Resource>, D::Error> {
        items.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Resource>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of resources")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Resource>, A::Error> {
        let mut resources = Vec::new();
        for outline in self.0 {
            resources.extend(items.next_element_seed(Document(outline))?.into_iter().flatten());
        }
        // Readers want to hear that the end was seen.
        items.next_element::<IgnoredAny>()?;
        Ok(resources)
    }
}

fn resource_of_kind<'de, A: MapAccess<'de>>(kind: &str, map: A) -> Result<Resource, A::Error> {
    use resource::Kind;
    let fields = MapAccessDeserializer::new(Fields(map));
    let kind = match kind {
        "Node" => Kind::Node(Deserialize::deserialize(fields)?),
        "Workload" => Kind::Workload(Deserialize::deserialize(fields)?),
        "AddressSet" => Kind::AddressSet(Deserialize::deserialize(fields)?),
        "Policy" => Kind::Policy(Deserialize::deserialize(fields)?),
        "BackendSet" => Kind::BackendSet(Deserialize::deserialize(fields)?),
        "Service" => Kind::Service(Deserialize::deserialize(fields)?),
        other => {
            let known = KINDS.map(|(_, name)| name).join(", ");
            let reason = format!("unknown kind {other:?}; the kinds are {known} and {LIST}");
            return Err(A::Error::custom(reason));
        }
    };
    Ok(Resource { kind: Some(kind) })
}

/// A resource's map without `kind`.
struct Fields<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            match self.0.next_key_seed(FieldName(&mut seed))? {
                None => return Ok(None),
                Some(None) => drop(self.0.next_value::<IgnoredAny>()?),
                Some(Some(name)) => return Ok(Some(name)),
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// Takes a key to the seed inside, unless it is `kind`.
struct FieldName<'a, K>(&'a mut Option<K>);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for FieldName<'_, K> {
    type Value = Option<K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_identifier(self)
    }
}

/// The seed is asked while the text's reader looks on, which knows the line of the name.
impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for FieldName<'_, K> {
    type Value = Option<K::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if name == "kind" {
            return Ok(None);
        }
        self.0.take().map(|seed| seed.deserialize(name.into_deserializer())).transpose()
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(document: D) -> Result<Self, D::Error> {
        document.deserialize_any(OutlineVisitor)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Outline, E> {
        Ok(Outline { empty: true, ..Outline::default() })
    }

    fn visit_none<E: Error>(self) -> Result<Outline, E> {
        self.visit_unit()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
        let mut outline = Outline::default();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "kind" if outline.kind.is_some() => return Err(A::Error::duplicate_field("kind")),
                "items" if outline.items.is_some() => {
                    return Err(A::Error::duplicate_field("items"));
                }
                "apiVersion" => {
                    outline.is_object = true;
                    map.next_value::<IgnoredAny>()?;
                }
                "kind" => outline.kind = Some(map.next_value()?),
                "items" => outline.items = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(outline)
    }
}

const LIST: &str = "List";
const EXPECTED: &str = "a resource (kind and fields) or a list of them (items)";
