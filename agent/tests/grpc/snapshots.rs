//! Beginning a stream: REPLACE, RESUME, inventory.

use proto::v1::{InventoryEntry, Resumption, resource_key::Kind};
use tonic::Code;

use crate::{
    node::Node,
    resources::{key, node, service, shop},
    writer::{Answer, Writer, chunk, replace, resume},
};

#[tokio::test]
async fn a_snapshot_prunes_only_its_owners_resources() {
    let node_a = Node::fresh().await;
    node_a.apply("cli", vec![node("of-cli")]).await.unwrap();
    let hello = replace("k8s", 1);
    let mut writer = Writer::with_snapshot(&node_a, hello, vec![node("old"), node("kept")]).await;
    let answer = writer.snapshot(1, vec![node("kept"), node("new")]).await.unwrap();
    assert_eq!(answer.revision(), 3);
    let expected = [("kept", "k8s", 2), ("new", "k8s", 3), ("of-cli", "cli", 1)];
    let expected = expected.map(|(name, owner, at)| (name.to_owned(), owner.to_owned(), at));
    assert_eq!(node_a.held().await, expected);
}

#[tokio::test]
async fn a_snapshot_is_one_transaction_of_many_chunks() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::open(&node_a, replace("k8s", 1)).await.unwrap();
    for (index, resource) in shop().into_iter().enumerate() {
        writer.send_chunk(chunk(5, index as u32, vec![resource], false)).await;
    }
    writer.end_snapshot(5).await;
    assert_eq!(writer.answer().await.unwrap().revision(), 1);
    assert_eq!(node_a.tables.content().commits, 1);
}

#[tokio::test]
async fn a_snapshot_is_validated_without_what_it_prunes() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), shop()).await;
    // Its frontend is that of a service which goes away with the same snapshot.
    let [backends, _] = shop().try_into().unwrap();
    let renamed = service("store:80", &[(crate::resources::VIP_SHOP, 80)], "shop");
    let answer = writer.snapshot(1, vec![backends, renamed.clone()]).await.unwrap();
    assert!(matches!(answer, Answer::Ack(_)), "{answer:?}");
    // Its backends go away with it.
    let answer = writer.snapshot(2, vec![renamed]).await.unwrap();
    assert!(matches!(answer, Answer::Nack(_)), "{answer:?}");
    assert_eq!(node_a.names().await, ["shop", "store:80"]);
}

#[tokio::test]
async fn deltas_wait_for_the_snapshot() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::open(&node_a, replace("k8s", 1)).await.unwrap();
    assert_eq!(writer.welcome.resumption(), Resumption::SnapshotRequired);
    let error = writer.delta(1, vec![node("a")], Vec::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("REPLACE"), "{error}");
}

#[tokio::test]
async fn a_refused_snapshot_is_still_owed() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::open(&node_a, replace("k8s", 1)).await.unwrap();
    let dangling = service("pay:80", &[("10.96.0.2", 80)], "pay");
    let answer = writer.snapshot(1, vec![dangling]).await.unwrap();
    assert!(matches!(answer, Answer::Nack(_)), "{answer:?}");
    let error = writer.delta(2, vec![node("a")], Vec::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_writer_resumes_only_what_the_node_knows() {
    let node_a = Node::fresh().await;
    let writer = Writer::with_snapshot(&node_a, replace("k8s", 1), shop()).await;
    let welcome = writer.welcome.clone();
    drop(writer);
    let mut other_history = welcome.clone();
    other_history.lineage = vec![1; 16].into();
    let mut no_history = welcome.clone();
    no_history.lineage = Vec::new().into();
    for (epoch, (what, welcome, revision, expected)) in (2..).zip([
        ("up to date", &welcome, 1, Resumption::Resumed),
        ("behind", &welcome, 0, Resumption::Resumed),
        ("ahead", &welcome, 2, Resumption::SnapshotRequired),
        ("another lineage", &other_history, 1, Resumption::SnapshotRequired),
        ("no lineage", &no_history, 1, Resumption::SnapshotRequired),
    ]) {
        let hello = resume("k8s", epoch, welcome, revision);
        let writer = Writer::open(&node_a, hello).await.unwrap();
        assert_eq!(writer.welcome.resumption(), expected, "{what}");
        assert_eq!(writer.welcome.revision, 1, "{what}");
    }
}

#[tokio::test]
async fn the_inventory_lists_the_owners_resources_with_their_versions() {
    let node_a = Node::fresh().await;
    node_a.apply("cli", vec![node("of-cli")]).await.unwrap();
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), shop()).await;
    writer.delta(1, vec![node("n")], Vec::new()).await.unwrap();
    let hello = resume("k8s", 2, &writer.welcome, 3);
    let writer = Writer::open(&node_a, hello).await.unwrap();
    let entry = |kind, name, revision| InventoryEntry { key: Some(key(kind, name)), revision };
    let expected = vec![
        entry(Kind::Node, "n", 3),
        entry(Kind::BackendSet, "shop", 2),
        entry(Kind::Service, "shop:80", 2),
    ];
    assert_eq!(writer.pages, [expected]);
}

#[tokio::test]
async fn a_large_inventory_comes_in_pages() {
    let node_a = Node::fresh().await;
    let nodes: Vec<_> = (0..2500).map(|number| node(&format!("node-{number:04}"))).collect();
    let writer = Writer::with_snapshot(&node_a, replace("k8s", 1), nodes).await;
    let hello = resume("k8s", 2, &writer.welcome, 1);
    let writer = Writer::open(&node_a, hello).await.unwrap();
    let sizes: Vec<_> = writer.pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    let last = writer.pages[2].last().unwrap().key.clone();
    assert_eq!(last, Some(key(Kind::Node, "node-2499")));
}

#[tokio::test]
async fn an_empty_snapshot_removes_everything_and_removals_have_no_place_in_one() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), shop()).await;
    writer.end_snapshot(1).await;
    assert_eq!(writer.answer().await.unwrap().revision(), 2);
    assert_eq!(node_a.names().await, Vec::<String>::new());

    let mut chunk = chunk(2, 0, Vec::new(), false);
    chunk.removes = vec![key(Kind::Node, "n")];
    writer.send_chunk(chunk).await;
    writer.end_snapshot(2).await;
    assert_eq!(writer.answer().await.unwrap_err().code(), Code::InvalidArgument);
}
