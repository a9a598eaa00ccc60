//! What the next agent knows, and what it does about what it does not.

use proto::v1::Resumption;
use tonic::Code;

use crate::{
    node::Node,
    resources::{node, shop},
    writer::{Answer, Writer, replace, resume},
};

#[tokio::test]
async fn a_restarted_agent_goes_on_where_the_last_one_was() {
    let before = Node::fresh().await;
    // In the order of the addresses, so that the tables that are written anew are laid out alike.
    let mut writer = Writer::with_snapshot(&before, replace("k8s", 3), shop()).await;
    before.apply("cli", vec![node("n")]).await.unwrap();
    let answer = writer.delta(1, vec![node("m")], Vec::new()).await.unwrap();
    let (held, image, welcome) =
        (before.held().await, before.tables.image(), writer.welcome.clone());
    drop(writer);

    let after = before.restart().await;
    assert_eq!((after.held().await, after.tables.image()), (held, image));
    let status = after.status().await;
    assert!(status.ready, "{}", status.not_ready_reason);
    assert_eq!((status.revision, &status.lineage), (3, &welcome.lineage));

    let stale = Writer::open(&after, replace("k8s", 2)).await.map(drop).unwrap_err();
    assert_eq!(stale.code(), Code::FailedPrecondition, "epochs survive");
    let mut writer = Writer::open(&after, resume("k8s", 3, &welcome, 3)).await.unwrap();
    assert_eq!(writer.welcome.resumption(), Resumption::Resumed);
    let again = writer.delta(1, vec![node("m")], Vec::new()).await.unwrap();
    assert_eq!(again, answer, "nonces survive");
}

#[tokio::test]
async fn an_agent_without_the_state_holds_until_a_snapshot_is_complete() {
    let before = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&before, replace("k8s", 1), shop()).await;
    writer.delta(1, vec![node("n")], Vec::new()).await.unwrap();
    let (image, welcome) = (before.tables.image(), writer.welcome.clone());
    drop(writer);
    before.disk.erase();

    let after = before.restart().await;
    let status = after.status().await;
    assert!(!status.ready && status.not_ready_reason.contains("REPLACE"), "{status:?}");
    let applied = after.apply("cli", vec![node("x")]).await.unwrap_err();
    assert_eq!(applied.code(), Code::FailedPrecondition);
    assert!(applied.message().contains("REPLACE"), "{applied}");
    let mut writer = Writer::open(&after, resume("k8s", 2, &welcome, 2)).await.unwrap();
    assert_eq!(writer.welcome.resumption(), Resumption::SnapshotRequired);
    let delta = writer.delta(2, vec![node("x")], Vec::new()).await.unwrap_err();
    assert_eq!(delta.code(), Code::FailedPrecondition);
    assert_eq!(after.tables.image(), image, "what was in force still is");

    let mut writer = Writer::open(&after, replace("k8s", 3)).await.unwrap();
    let answer = writer.snapshot(1, vec![node("n")]).await.unwrap();
    assert_eq!(answer.revision(), 3, "revisions go on");
    assert!(after.status().await.ready);
    assert_ne!(after.tables.image(), image);
    assert!(matches!(writer.delta(2, vec![node("x")], Vec::new()).await, Ok(Answer::Ack(_))));
}

#[tokio::test]
async fn an_empty_snapshot_ends_holding_too() {
    let before = Node::fresh().await;
    before.apply("cli", shop()).await.unwrap();
    before.disk.erase();
    let after = before.restart().await;
    let _writer = Writer::with_snapshot(&after, replace("k8s", 1), Vec::new()).await;
    assert!(after.status().await.ready);
    assert!(after.tables.image().unwrap().frontends.is_empty());
}

#[tokio::test]
async fn a_commit_that_was_not_saved_makes_writers_start_over() {
    let before = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&before, replace("k8s", 1), vec![node("saved")]).await;
    before.disk.fill();
    let answer = writer.delta(1, vec![node("lost")], Vec::new()).await.unwrap();
    assert_eq!(answer.revision(), 2, "packets see it, saved or not");
    assert_ne!(before.status().await.save_error, "");
    let welcome = writer.welcome.clone();
    drop(writer);

    let after = before.restart().await;
    assert_eq!(after.names().await, ["saved"]);
    assert!(after.tables.stamp().unwrap().revision > 2);
    let writer = Writer::open(&after, resume("k8s", 1, &welcome, 2)).await.unwrap();
    assert_eq!(writer.welcome.resumption(), Resumption::SnapshotRequired);
}

#[tokio::test]
async fn a_fresh_node_is_ready_with_its_first_commit() {
    let fresh = Node::fresh().await;
    let status = fresh.status().await;
    assert!(!status.ready && !status.not_ready_reason.is_empty());
    let restarted = fresh.restart().await;
    assert!(!restarted.status().await.ready);
    restarted.apply("cli", vec![node("n")]).await.unwrap();
    assert!(restarted.status().await.ready);
}

#[tokio::test]
async fn lost_tables_are_filled_from_the_state() {
    let before = Node::fresh().await;
    before.apply("cli", shop()).await.unwrap();
    let (image, stamp) = (before.tables.image(), before.tables.stamp());
    before.tables.content().held = None;
    let after = before.restart().await;
    assert_eq!((after.tables.image(), after.tables.stamp()), (image, stamp));
    assert!(after.status().await.ready);
}
