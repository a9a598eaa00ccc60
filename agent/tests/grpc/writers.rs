//! Who may write: owners and writer epochs.

use proto::v1::{self, ApplyRequest, apply_response, resource_key::Kind};
use tonic::Code;

use crate::{
    node::Node,
    resources::{key, node, shop},
    writer::{Answer, Writer, replace},
};

#[tokio::test]
async fn anothers_resource_is_neither_replaced_nor_removed() {
    let node_a = Node::fresh().await;
    node_a.apply("cli", shop()).await.unwrap();
    let mut writer = Writer::open(&node_a, replace("k8s", 1)).await.unwrap();
    let refused = [writer.snapshot(1, shop()).await.unwrap(), {
        writer.snapshot(2, Vec::new()).await.unwrap();
        writer.delta(3, Vec::new(), vec![key(Kind::Service, "shop:80")]).await.unwrap()
    }];
    for (answer, expected) in refused.into_iter().zip([vec!["shop", "shop:80"], vec!["shop:80"]]) {
        let Answer::Nack(nack) = answer else { panic!("not refused") };
        let named: Vec<_> = nack
            .refusals
            .iter()
            .map(|it| {
                assert_eq!(it.reason, "belongs to owner \"cli\", not to \"k8s\"");
                it.resource.clone().unwrap().name
            })
            .collect();
        assert_eq!(named, expected);
    }
    assert_eq!(node_a.names().await, ["shop", "shop:80"]);
}

#[tokio::test]
async fn an_epoch_is_refused_when_it_is_over_or_taken() {
    let node_a = Node::fresh().await;
    let mut old = Writer::with_snapshot(&node_a, replace("k8s", 5), Vec::new()).await;
    let agent = &node_a;
    let hello = |epoch| async move {
        let opened = Writer::open(agent, replace("k8s", epoch)).await;
        opened.map(drop).map_err(|status| status.code())
    };
    let apply = |writer_epoch| async move {
        let owner = "k8s".into();
        let request = ApplyRequest { owner, writer_epoch, ..ApplyRequest::default() };
        agent.apply_request(request).await.map(drop).map_err(|status| status.code())
    };
    assert_eq!(hello(4).await, Err(Code::FailedPrecondition));
    assert_eq!(apply(4).await, Err(Code::FailedPrecondition));
    assert_eq!(hello(5).await, Err(Code::AlreadyExists));
    assert_eq!(apply(5).await, Err(Code::AlreadyExists));
    old.delta(1, vec![node("a")], Vec::new()).await.unwrap();

    // A higher epoch, even of a single request, ends the stream's right to write.
    assert_eq!(apply(6).await, Ok(()));
    let error = old.delta(2, vec![node("b")], Vec::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("epoch 5") && error.message().contains("at 6"), "{error}");
    assert_eq!(node_a.names().await, ["a"]);

    // Equal is enough when no stream is live.
    assert_eq!(apply(6).await, Ok(()));
    assert_eq!(hello(6).await, Ok(()));
    assert_eq!(hello(5).await, Err(Code::FailedPrecondition));
}

#[tokio::test]
async fn epochs_are_of_an_owner() {
    let node_a = Node::fresh().await;
    let _k8s = Writer::with_snapshot(&node_a, replace("k8s", 5), Vec::new()).await;
    let mut other = Writer::with_snapshot(&node_a, replace("other", 5), Vec::new()).await;
    other.delta(1, vec![node("a")], Vec::new()).await.unwrap();
    node_a.apply("cli", vec![node("b")]).await.unwrap();
    let owners: Vec<_> = node_a
        .status()
        .await
        .owners
        .into_iter()
        .map(|it| (it.owner, it.writer_epoch, it.live, it.resources))
        .collect();
    let expected = [("cli", 0, false, 1), ("k8s", 5, true, 0), ("other", 5, true, 1)];
    assert_eq!(
        owners,
        expected.map(|(owner, epoch, live, held)| (owner.to_owned(), epoch, live, held))
    );
}

#[tokio::test]
async fn nonces_are_of_an_epoch() {
    let node_a = Node::fresh().await;
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 1), Vec::new()).await;
    writer.delta(1, vec![node("a")], Vec::new()).await.unwrap();
    let mut writer = Writer::with_snapshot(&node_a, replace("k8s", 2), Vec::new()).await;
    let answer = writer.delta(1, vec![node("b")], Vec::new()).await.unwrap();
    assert!(matches!(answer, Answer::Ack(_)), "{answer:?}");
}

#[tokio::test]
async fn validation_says_what_apply_would_and_changes_nothing() {
    let node_a = Node::fresh().await;
    node_a.apply("cli", vec![node("n")]).await.unwrap();
    let image = node_a.tables.image();
    let validate = |upserts: Vec<v1::Resource>| {
        let writer_epoch = 9;
        let owner = "cli".into();
        let request =
            ApplyRequest { owner, writer_epoch, upserts, validate_only: true, removes: Vec::new() };
        node_a.apply_request(request)
    };
    let accepted = validate(shop()).await.unwrap();
    assert!(matches!(accepted, apply_response::Answer::Ack(v1::Ack { revision: 1, .. })));
    let refused = validate(shop().split_off(1)).await.unwrap();
    assert!(matches!(refused, apply_response::Answer::Nack(_)));
    assert_eq!((node_a.names().await, node_a.tables.image()), (vec!["n".to_owned()], image));
    assert_eq!(node_a.status().await.owners[0].writer_epoch, 0, "nor the epoch");
}

#[tokio::test]
async fn an_owner_has_a_name() {
    let node_a = Node::fresh().await;
    for owner in [String::new(), "x".repeat(254)] {
        let error = node_a.apply(&owner, Vec::new()).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        let Err(error) = Writer::open(&node_a, replace(&owner, 1)).await else {
            panic!("not refused")
        };
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}
