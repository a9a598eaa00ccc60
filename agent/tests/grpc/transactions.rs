//! Streamed transactions: chunks, order, nonces, limits.

use proto::v1::{Chunk, resource_key::Kind};
use tonic::Code;
use zonegate::{grpc::Options, store::Limits};

use crate::{
    node::Node,
    resources::{address_set, key, node, service, shop},
    tables::write_failure,
    writer::{Answer, Writer, chunk, replace},
};

#[tokio::test]
async fn chunks_are_committed_as_one_at_the_last() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
    let mut resources = shop().into_iter();
    writer.send_chunk(chunk(1, 0, vec![resources.next_back().unwrap()], false)).await;
    writer.send_chunk(chunk(1, 1, vec![resources.next().unwrap()], true)).await;
    let Answer::Ack(ack) = writer.answer().await.unwrap() else { panic!("refused") };
    assert_eq!((ack.nonce, ack.revision), (1, 2));
    assert_eq!(node_a.names().await, ["shop", "shop:80"]);
    assert_eq!(node_a.tables.stamp().unwrap().revision, 2);
    assert!(!node_a.tables.image().unwrap().frontends.is_empty(), "packets see it");
}

#[tokio::test]
async fn answers_come_in_order_and_a_nack_does_not_affect_later_ones() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
    writer.send_chunk(chunk(1, 0, vec![node("a")], true)).await;
    let dangling = service("pay:80", &[("10.96.0.2", 80)], "pay");
    writer.send_chunk(chunk(2, 0, vec![node("b"), dangling], true)).await;
    writer.send_chunk(chunk(3, 0, vec![node("c")], true)).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = writer.answer().await.unwrap();
        answers.push((answer.nonce(), matches!(answer, Answer::Ack(_))));
    }
    assert_eq!(answers, [(1, true), (2, false), (3, true)]);
    assert_eq!(node_a.names().await, ["a", "c"]);
}

#[tokio::test]
async fn a_nonce_with_the_same_content_gets_the_same_answer_and_no_further_effect() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
    let first = writer.delta(7, vec![node("a")], Vec::new()).await.unwrap();
    let bad = service("pay:80", &[("10.96.0.2", 80)], "pay");
    let refused = writer.delta(8, vec![bad.clone()], Vec::new()).await.unwrap();
    writer.delta(9, Vec::new(), vec![key(Kind::Node, "a")]).await.unwrap();

    assert_eq!(writer.delta(7, vec![node("a")], Vec::new()).await.unwrap(), first);
    assert_eq!(writer.delta(8, vec![bad], Vec::new()).await.unwrap(), refused);
    assert_eq!(node_a.names().await, Vec::<String>::new(), "the removal stands");

    let other = writer.delta(7, vec![node("b")], Vec::new()).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    assert!(other.message().contains("nonce 7"), "{other}");
}

#[tokio::test]
async fn nonces_are_remembered_for_1024_transactions() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
    for nonce in 1..=1025 {
        writer.delta(nonce, Vec::new(), Vec::new()).await.unwrap();
    }
    let forgotten = writer.delta(1, vec![node("a")], Vec::new()).await.unwrap();
    assert!(matches!(forgotten, Answer::Ack(_)));
    let remembered = writer.delta(3, vec![node("b")], Vec::new()).await.unwrap_err();
    assert_eq!(remembered.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn staged_bytes_are_limited() {
    let options = Options { max_staged_bytes: 4096, ..Options::default() };
    let node_a = Node::with(options, Limits::default()).await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
    assert_eq!(writer.welcome.max_staged_bytes, 4096);
    let large = |name: &str| address_set(name, &["2001:db8:1234:5678::/64"; 60]);
    for index in 0..2 {
        let upserts = vec![large(&format!("set-{index}"))];
        writer.send_chunk(chunk(1, index, upserts, false)).await;
    }
    writer.send_chunk(chunk(1, 2, vec![large("set-2")], true)).await;
    let error = writer.answer().await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.message().contains("max_staged_bytes of 4096"), "{error}");
    assert_eq!(node_a.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_transaction_cut_short_by_a_disconnect_is_forgotten() {
    let node_a = Node::fresh().await;
    let writer = Writer::with_snapshot(&node_a, replace("k8s", 1), vec![node("a")]).await;
    writer.send_chunk(chunk(1, 0, vec![node("b")], false)).await;
    let welcome = writer.welcome.clone();
    drop(writer);

    node_a.wait_for(|status| !status.owners[0].live).await;
    let hello = crate::writer::resume("k8s", 1, &welcome, 1);
    let mut writer = Writer::open(&node_a, hello).await.unwrap();
    writer.delta(1, vec![node("c")], Vec::new()).await.unwrap();
    assert_eq!(node_a.names().await, ["a", "c"]);
}

#[tokio::test]
async fn malformed_streams_end_with_invalid_argument() {
    let with_chunks = |chunks: Vec<Chunk>| async move {
        let node_a = Node::fresh().await;
        let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
        for chunk in chunks {
            writer.send_chunk(chunk).await;
        }
        writer.answer().await.unwrap_err()
    };
    for (what, chunks) in [
        ("a gap", vec![chunk(1, 0, Vec::new(), false), chunk(1, 2, Vec::new(), true)]),
        ("no beginning", vec![chunk(1, 1, Vec::new(), true)]),
        ("two at once", vec![chunk(1, 0, Vec::new(), false), chunk(2, 0, Vec::new(), true)]),
    ] {
        let error = with_chunks(chunks).await;
        assert_eq!(error.code(), Code::InvalidArgument, "{what}: {error}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_changes_nothing_and_may_be_tried_again() {
    let node_a = Node::fresh().await;
    let hello = replace("k8s", 1);
    let mut writer = Writer::with_snapshot(&node_a, hello, vec![node("a")]).await;
    node_a.tables.content().failure = Some(write_failure);
    let error = writer.delta(1, vec![node("b")], Vec::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(node_a.names().await, ["a"]);

    node_a.tables.content().failure = None;
    node_a.wait_for(|status| !status.owners[0].live).await;
    let hello = crate::writer::resume("k8s", 1, &writer.welcome, 1);
    let mut writer = Writer::open(&node_a, hello).await.unwrap();
    let answer = writer.delta(1, vec![node("b")], Vec::new()).await.unwrap();
    assert_eq!(answer.revision(), 2);
    assert_eq!(node_a.status().await.commits.unwrap().failed, 1);
}

#[tokio::test]
async fn what_changes_nothing_is_not_committed() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), shop()).await;
    let answer = writer.delta(1, shop(), vec![key(Kind::Node, "absent")]).await.unwrap();
    assert_eq!(answer.revision(), 1);
    assert_eq!(node_a.tables.content().commits, 1);
}
