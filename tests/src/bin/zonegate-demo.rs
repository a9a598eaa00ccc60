//! Shows what ZoneGate does, with real traffic in a bed of three zones; fails if it does not.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use testbed::{
    agent::Agent,
    bed::{Bed, Host},
    traffic::{
        HttpServer, LiveStream, RequestLoop, StreamServer, UdpServer, http_get, udp_exchange,
    },
    world::{Manifest, vips},
};

fn main() -> Result<()> {
    let start = Instant::now();
    title("A node, four workloads on it, six hosts in three zones, and a client outside");
    let bed = Bed::three_zones()?;
    bed.warm_neighbours()?;
    let mut agent = Agent::start_on(&bed)?;
    println!("the agent runs on {}, which is in {}", bed.node().name(), bed.node().zone());

    let backends = [bed.remote("zone-a-1"), bed.remote("zone-b-1"), bed.remote("zone-c-1")];
    let mut servers = Vec::new();
    for host in backends {
        servers.push((HttpServer::start(host, 8080)?, UdpServer::start(host, 5353)?));
    }
    let shop = bed.workload("shop");
    let _http = HttpServer::start(shop, 8080)?;
    let _stream = StreamServer::start(shop, 9000)?;
    let everywhere = ["zone-a-1", "zone-b-1", "zone-c-1"];

    apply(&agent, &world(&bed, &backends, &everywhere, &["web", "batch"]))?;
    native_xdp(&bed)?;
    zones(&bed, &agent, &backends, &everywhere)?;
    policy(&bed, &agent, &backends, &everywhere)?;
    crashes(&bed, &mut agent)?;

    title("What the node has counted");
    print!("{}", agent.cli(&["status"])?.expect_success());
    title("Flows");
    print!("{}", agent.cli(&["flows", "list", "--limit", "12"])?.expect_success());
    println!("\neverything as it should be, after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Two services with backends in every zone, nearest zone first, and a policy on `shop`.
fn world(bed: &Bed, backends: &[&Host], ready: &[&str], allowed: &[&str]) -> Manifest {
    Manifest::hosts(bed)
        .backends("web", backends, 8080, ready)
        .service("web", 1, 80, "TCP", &["ZONE", "ANY"])
        .backends("dns", backends, 5353, ready)
        .service("dns", 2, 53, "UDP", &["ZONE", "ANY"])
        .allow_only("shop", allowed)
}

fn apply(agent: &Agent, manifest: &Manifest) -> Result<()> {
    let answer = agent.apply(manifest.text())?.expect_success();
    println!("zonegate apply: {}", answer.lines().last().unwrap_or_default());
    Ok(())
}

fn native_xdp(bed: &Bed) -> Result<()> {
    title("Native XDP on the uplink");
    let link = bed.node().netns().shell("ip -details link show uplink0")?;
    let program = link.lines().find(|line| line.contains("prog/xdp")).unwrap_or_default();
    println!("{}{program}", link.lines().next().unwrap_or_default());
    ensure!(link.contains(" xdp "), "no native XDP program on uplink0:\n{link}");
    ensure!(!link.contains("xdpgeneric"), "XDP on uplink0 is generic:\n{link}");
    Ok(())
}

/// Which zones answer, over TCP and UDP, IPv4 and IPv6, for a workload and for an outsider.
fn answering_zones(bed: &Bed) -> Result<Vec<String>> {
    let mut zones = Vec::new();
    for client in [bed.workload("web"), bed.client("outside")] {
        for (http, dns) in vips(1).into_iter().zip(vips(2)) {
            for _ in 0..4 {
                zones.push(http_get(client, SocketAddr::new(http, 80))?.zone);
                zones.push(udp_exchange(client, SocketAddr::new(dns, 53), b"name?")?.zone);
            }
        }
    }
    zones.sort();
    zones.dedup();
    Ok(zones)
}

fn zones(bed: &Bed, agent: &Agent, backends: &[&Host], everywhere: &[&str]) -> Result<()> {
    title("The service answers from the client's zone");
    let zones = answering_zones(bed)?;
    println!("HTTP and UDP, IPv4 and IPv6, from a workload and from outside: {zones:?}");
    ensure!(zones == ["zone-a"]);

    title("The zone's backends go away: it moves on, and comes back");
    apply(agent, &world(bed, backends, &everywhere[1..], &["web", "batch"]))?;
    let zones = answering_zones(bed)?;
    println!("without zone-a: {zones:?}");
    ensure!(!zones.contains(&"zone-a".to_owned()));
    apply(agent, &world(bed, backends, everywhere, &["web", "batch"]))?;
    let zones = answering_zones(bed)?;
    println!("with zone-a again: {zones:?}");
    ensure!(zones == ["zone-a"]);
    Ok(())
}

fn policy(bed: &Bed, agent: &Agent, backends: &[&Host], everywhere: &[&str]) -> Result<()> {
    title("Only web and batch may talk to shop");
    let shop = bed.workload("shop");
    let [address, _] = shop.sockets(8080);
    for (client, allowed) in [
        (bed.workload("web"), true),
        (bed.workload("spare"), false),
        (bed.client("outside"), false),
    ] {
        let answer = http_get(client, address);
        let said = answer.as_ref().map_or("dropped", |_| "answered");
        println!("{} → shop: {said}", client.name());
        ensure!(answer.is_ok() == allowed, "{} should not be {said}", client.name());
    }

    title("Revoking batch's permission cuts its live connection");
    let [stream, _] = shop.sockets(9000);
    let (web, batch) = (
        LiveStream::open(bed.workload("web"), stream)?,
        LiveStream::open(bed.workload("batch"), stream)?,
    );
    batch.expect_progress(10, TIMEOUT)?;
    apply(agent, &world(bed, backends, everywhere, &["web"]))?;
    batch.expect_cut(Duration::from_millis(500), TIMEOUT)?;
    println!("batch → shop: cut after {} round trips", batch.rounds());
    web.expect_progress(10, TIMEOUT)?;
    println!("web → shop: goes on, {} round trips", web.rounds());
    Ok(())
}

fn crashes(bed: &Bed, agent: &mut Agent) -> Result<()> {
    title("kill -9 of the agent costs no request");
    let [vip, ..] = vips(1)[..] else { unreachable!("four addresses") };
    let requests =
        RequestLoop::http(bed.workload("web"), SocketAddr::new(vip, 80), Duration::from_millis(1));
    requests.wait_for(100, TIMEOUT)?;
    agent.kill9()?;
    let at_death = requests.report().answered;
    requests.wait_for(at_death + 200, TIMEOUT)?;
    println!("{} requests were answered while no agent ran", requests.report().answered - at_death);
    agent.start()?;
    let at_return = requests.report().answered;
    requests.wait_for(at_return + 100, TIMEOUT)?;
    let report = requests.stop();
    println!("{} answered, {} failed", report.answered, report.failed);
    report.assert_none_failed();
    Ok(())
}

fn title(text: &str) {
    println!("\n== {text}");
}

const TIMEOUT: Duration = Duration::from_secs(10);
