use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

fn state(checks: &[(u16, usize)], healthy: bool) -> State {
    let check = |(port, ready): &(u16, usize)| {
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        (*port, HealthCheck { namespace, name, ready: *ready })
    };
    let checks: BTreeMap<_, _> = checks.iter().map(check).collect();
    State { checks: Arc::new(checks), healthy }
}

fn open(port: u16, state: watch::Receiver<State>) -> io::Result<Listener> {
    Listener::open(everywhere(port), move |_| state.borrow().answer(port))
}

/// A port that nobody has.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("[::]:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Head and body of an answer.
async fn ask(address: IpAddr, port: u16) -> (String, String) {
    let mut stream = TcpStream::connect((address, port)).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_node_with_ready_backends_says_how_many() {
    let port = free_port().await;
    let (sender, receiver) = watch::channel(state(&[(port, 2)], true));
    let listener = open(port, receiver).unwrap();
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        for (ready, healthy, status) in
            [(2, true, "200 OK"), (0, true, "503 Service"), (2, false, "503 Service")]
        {
            sender.send_replace(state(&[(port, ready)], healthy));
            let (head, body) = ask(address, port).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            for header in [
                "content-type: application/json".to_owned(),
                "x-content-type-options: nosniff".to_owned(),
                format!("x-load-balancing-endpoint-weight: {ready}"),
            ] {
                assert!(head.lines().any(|line| line == header), "{header} in {head}");
            }
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let expected = serde_json::json!({
                "service": { "namespace": "shop", "name": "web" },
                "localEndpoints": ready,
                "serviceProxyHealthy": healthy,
            });
            assert_eq!(body, expected);
        }
    }
    drop(listener);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("[::]:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let (sender, receiver) = watch::channel(state(&[(port, 1)], true));
    assert!(open(port, receiver).is_err());
    drop(taken);
    let _listener = open(port, sender.subscribe()).unwrap();
    assert!(ask(Ipv4Addr::LOCALHOST.into(), port).await.0.starts_with("HTTP/1.1 200"));
}
