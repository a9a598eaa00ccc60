use super::*;

fn names(text: &str) -> Vec<String> {
    parse("shop.yaml", text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .resources
        .iter()
        .map(resource::describe)
        .collect()
}

#[test]
fn documents_lists_and_json_are_read_in_order() {
    const SET: &str = r#"AddressSet "web""#;
    const NODE: &str = r#"Node "n1""#;
    for (text, expected) in [
        ("", vec![]),
        ("---\n# only a comment\n---\n", vec![]),
        ("kind: AddressSet\nname: web\nprefixes: [10.0.0.0/8]\n", vec![SET]),
        ("name: web\nprefixes:\n- fd00::/8\nkind: AddressSet\n", vec![SET]),
        ("kind: Node\nname: n1\n---\nkind: AddressSet\nname: web\n", vec![NODE, SET]),
        ("---\n\n---\nkind: Node\nname: n1\n...\n", vec![NODE]),
        ("{kind: Node, name: n1}", vec![NODE]),
        ("items:\n- {kind: Node, name: n1}\n- {kind: AddressSet, name: web}\n", vec![NODE, SET]),
        ("kind: List\nitems:\n- {name: n1, kind: Node}\n", vec![NODE]),
        ("items: []", vec![]),
        ("items:\n- {kind: List, items: [{kind: Node, name: n1}]}\n", vec![NODE]),
        ("{\n\t\"kind\": \"Node\",\n\t\"name\": \"n1\"\n}", vec![NODE]),
        (r#"{"kind":"Node","name":"n1"} {"kind":"AddressSet","name":"web"}"#, vec![NODE, SET]),
        (r#"{"items":[{"name":"web","kind":"AddressSet"}]}"#, vec![SET]),
    ] {
        assert_eq!(names(text), expected, "{text}");
    }
}

#[test]
fn kubernetes_objects_may_stand_beside_resources() {
    const TEXT: &str = "kind: Node\nname: n1\n---\napiVersion: v1\nkind: PodList\nitems:\n- \
                        metadata: {name: p}\n---\n{apiVersion: v1, kind: Secret}\n";
    let json = "{\"kind\": \"Node\", \"name\": \"n1\"}\n{\"kind\": \"Pod\", \"apiVersion\": \"v1\", \
                \"metadata\": {\"name\": \"p\"}}\n{\"apiVersion\": \"v1\", \"kind\": \"Secret\"}";
    for text in [TEXT, json] {
        let parsed = parse("shop.yaml", text).unwrap();
        assert_eq!(parsed.resources.len(), 1);
        let objects: Vec<_> =
            parsed.objects.objects.iter().map(|it| it.object.key().to_string()).collect();
        assert_eq!(objects, ["Pod \"default/p\""]);
        assert_eq!(parsed.objects.objects[0].place.document, 2);
        assert!(parsed.objects.passed_over.contains("Secret of v1"));
    }
    let error = parse("shop.yaml", "# no name\n---\napiVersion: v1\nkind: Pod\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "shop.yaml, document 1: metadata.name: is missing at line 3 column 1"
    );
}

#[test]
fn errors_name_document_place_and_what_is_wrong() {
    for (text, document, parts) in [
        ("kind: AddressSet\nname: web\nprefix: [10.0.0.0/8]\n", 1, &["`prefix`", "line 3"][..]),
        ("kind: Node\nname: n1\n---\nkind: Nodes\nname: n1\n", 2, &["\"Nodes\"", "BackendSet"]),
        ("kind: Node\nname: n1\n---\nname: n2\n", 2, &["missing field `kind`"]),
        ("kind: Node\nname: [n1]\n", 1, &["name", "line 2"]),
        ("kind: Node\nname: n1\nname: n2\n", 1, &["name"]),
        ("kind: Node\nname: n1\nkind: Node\n", 1, &["kind"]),
        ("kind: Node\nname: 'n1\n", 1, &["line"]),
        ("- kind: Node\n  name: n1\n", 1, &["a resource (kind and fields)"]),
        ("just text", 1, &["a resource (kind and fields)"]),
        ("kind: List\n", 1, &["missing field `items`"]),
        ("kind: List\nitems: []\nextra: 1\n", 1, &["`extra`"]),
        ("items:\n- kind: Node\n  nmae: n1\n", 1, &["`nmae`", "items[0]", "line 3"]),
        (
            "kind: Service\nname: s\nfrontends:\n- {address: 192.0.2.1, port: 80, protocol: TCP}\n\
             - address: 192.0.2.1\n  port: eighty\n",
            1,
            &["frontends[1]", "invalid digit", "line 5"],
        ),
        ("kind: Service\nname: s\nfrontends:\n- protocol: QUIC\n", 1, &["`QUIC`", "line 4"]),
        ("{\"kind\": \"Node\",\n \"nmae\": \"n1\"}", 1, &["`nmae`", "line 2"]),
        (r#"{"kind":"Node","name":"n1"} {"kind":"#, 2, &["EOF"]),
    ] {
        let message = match parse("shop.yaml", text) {
            Err(error) => error.to_string(),
            Ok(resources) => panic!("{text}: read as {resources:?}"),
        };
        assert!(
            message.starts_with(&format!("shop.yaml, document {document}: ")),
            "{text}: {message}"
        );
        for part in parts {
            assert!(message.contains(part), "{text}: {message:?} does not say {part:?}");
        }
    }
}

#[test]
fn what_is_printed_is_read_back_the_same() {
    let text = "\
kind: Policy
name: shop/web
tier: NETWORK
priority: 7
subjects: [web]
ingress:
  rules:
  - name: from-clients
    action: ACCEPT
    peerSets: {names: [clients]}
    portMatches: {matches: [{protocol: TCP, first: 80}, {protocol: UDP, first: 1, last: 9}]}
egress: {rules: [{action: ACCEPT, anyPeer: {}, anyTraffic: {}}]}
";
    let first = parse("policy.yaml", text).unwrap().resources;
    let printed = serde_norway::to_string(&resource::document(&first[0]).unwrap()).unwrap();
    assert!(printed.starts_with("kind: Policy\nname: shop/web\n"), "{printed}");
    assert_eq!(parse("printed.yaml", &printed).unwrap().resources, first);
    let json = serde_json::to_string(&resource::document(&first[0]).unwrap()).unwrap();
    assert_eq!(parse("printed.json", &json).unwrap().resources, first);
}

#[test]
fn a_resource_given_twice_is_refused_with_both_places() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, "kind: Node\nname: n1\n").unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (file("a.yaml"), file("b.yaml"));
    let message = read(&[first.clone(), second.clone()]).unwrap_err().to_string();
    assert!(message.contains(&first) && message.contains(&second), "{message}");
    assert!(message.contains(r#"Node "n1""#), "{message}");
}
