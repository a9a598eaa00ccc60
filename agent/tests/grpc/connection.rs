//! Who may connect, health, reflection, limits of messages, stopping.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use hyper_util::rt::TokioIo;
use proto::v1::{GetStatusRequest, observe_client::ObserveClient};
use tokio_stream::StreamExt;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    node::Node,
    resources::{address_set, node},
    writer::{Writer, replace},
};

#[tokio::test]
async fn health_follows_readiness() {
    let node_a = Node::fresh().await;
    for service in ["", "zonegate.v1.Dataplane", "zonegate.v1.Observe"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch =
            HealthClient::new(node_a.channel()).watch(request).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap().status();
        if service.is_empty() {
            assert_eq!(first, ServingStatus::NotServing);
            node_a.apply("cli", vec![node("n")]).await.unwrap();
            assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        }
    }
    let request = HealthCheckRequest { service: "zonegate.v1.Dataplane".into() };
    let response = HealthClient::new(node_a.channel()).check(request).await.unwrap();
    assert_eq!(response.into_inner().status(), ServingStatus::Serving);
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_files() {
    let node_a = Node::fresh().await;
    let ask = |message_request| {
        let mut client = ServerReflectionClient::new(node_a.channel());
        let request = ServerReflectionRequest {
            message_request: Some(message_request),
            ..Default::default()
        };
        async move {
            let stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
            let response = stream.into_inner().next().await.unwrap().unwrap();
            response.message_response.unwrap()
        }
    };
    let MessageResponse::ListServicesResponse(list) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for expected in ["zonegate.v1.Dataplane", "zonegate.v1.Observe", "grpc.health.v1.Health"] {
        assert!(names.contains(&expected), "{expected} is not in {names:?}");
    }
    let file = ask(MessageRequest::FileContainingSymbol("zonegate.v1.Dataplane.Sync".into())).await;
    assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
}

#[tokio::test]
async fn messages_are_limited_to_4_mib() {
    let node_a = Node::fresh().await;
    let prefixes = vec!["2001:db8:1234:5678:9abc:def0:1234:5678"; 120_000];
    let error = node_a.apply("cli", vec![address_set("large", &prefixes)]).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange, "{error}");
}

/// Needs root, to become somebody else.
#[tokio::test]
async fn other_users_are_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: not root");
        return;
    }
    let node_a = Node::fresh().await;
    let socket = node_a.socket();
    let public = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    public(socket.parent().unwrap(), 0o755);
    public(&socket, 0o666);
    let connected = std::thread::spawn(move || {
        const NOBODY: libc::uid_t = 65_534;
        // SAFETY: the system call takes three numbers. Unlike libc's function of that name it
        // changes this thread alone, which ends with the closure.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(changed, 0);
        std::os::unix::net::UnixStream::connect(socket).unwrap()
    })
    .join()
    .unwrap();
    connected.set_nonblocking(true).unwrap();
    let mut stream = Some(tokio::net::UnixStream::from_std(connected).unwrap());
    let channel = Endpoint::from_static("http://zonegate")
        .connect_with_connector(tower::service_fn(move |_| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::other("connected once")) }
        }))
        .await
        .unwrap();
    let error = ObserveClient::new(channel).get_status(GetStatusRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("65534"), "{error}");
}

#[tokio::test]
async fn a_live_stream_does_not_keep_the_agent_from_stopping() {
    let node_a = Node::fresh().await;
    let channel = node_a.another_channel().await;
    let mut writer = Writer::open_on(channel, replace("k8s", 1)).await.unwrap();
    let restart = tokio::time::timeout(Duration::from_secs(10), node_a.restart());
    let (restarted, answer) = tokio::join!(restart, writer.answer());
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    assert!(!restarted.unwrap().status().await.owners[0].live);
}
