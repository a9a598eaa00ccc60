//! Worlds as end-to-end suites describe them: every object is understood.

use serde::Deserialize;
use serde_json::Value;
use zonegate::{
    kubernetes::{Change, Object, Options, Translator},
    model::Kind,
};

#[derive(Deserialize)]
struct World {
    name: String,
    objects: Vec<Value>,
}

#[test]
fn the_objects_of_end_to_end_suites_are_translated() {
    let worlds: Vec<World> = serde_json::from_str(include_str!("sample.json")).unwrap();
    for World { name, objects } in worlds {
        let policies = objects.iter().filter(|object| {
            object["kind"].as_str().is_some_and(|kind| kind.ends_with("NetworkPolicy"))
        });
        let policies = policies.count();
        let objects = objects.into_iter().map(|object| Object::parse(object).unwrap());
        let mut translator = Translator::new(Options::default());
        let outcome = translator.apply(objects.map(Change::Upsert));
        assert_eq!(outcome.problems, [], "{name}");
        let translated = outcome.upserts.iter().filter(|it| it.key().kind == Kind::Policy);
        assert!(translated.count() >= policies, "{name}");
    }
}
