//! The agent as a process in the bed: it comes up, answers, survives its own death, and a test
//! leaves nothing of it behind. Needs the `zonegate` binary beside this test or in `ZONEGATE_BIN`.

use testbed::{
    agent::Agent,
    bed::Bed,
    traffic::{HttpServer, http_get},
};

#[test]
fn an_agent_lives_dies_and_leaves_nothing_behind() {
    let bed = Bed::builder().workload("web").remote("zone-b-1", "zone-b").build().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let status = agent.cli(&["status"]).unwrap();
    assert!(!(status.stdout.clone() + &status.stderr).is_empty(), "{status:?}");

    let uplink = || bed.node().netns().shell("ip link show uplink0").unwrap();
    assert!(uplink().contains("prog/xdp"), "{}", uplink());
    let _server = HttpServer::start(bed.remote("zone-b-1"), 80).unwrap();
    let all_is_well = || {
        for address in bed.remote("zone-b-1").sockets(80) {
            assert_eq!(http_get(bed.workload("web"), address).unwrap().server, "zone-b-1");
        }
    };
    all_is_well();
    agent.kill9().unwrap();
    assert!(uplink().contains("prog/xdp"), "the programs outlive the agent");
    all_is_well();
    agent.start().unwrap();
    agent.restart().unwrap();
    all_is_well();

    let (bpffs, scratch) = (agent.bpffs().to_owned(), agent.scratch().to_owned());
    assert!(bpffs.exists() && scratch.exists());
    drop(agent);
    assert!(!bpffs.exists() && !scratch.exists());
    assert!(!uplink().contains("prog/xdp"), "{}", uplink());
    all_is_well();
}

#[test]
fn an_agent_that_does_not_start_says_why() {
    let bed = Bed::builder().build().unwrap();
    let error = Agent::builder(&bed).argument("--no-such-flag").start().unwrap_err();
    assert!(error.to_string().contains("--no-such-flag"), "{error:#}");
    let error = Agent::builder(&bed).kernel("no_such_key", 1).start().unwrap_err();
    assert!(error.to_string().contains("no_such_key"), "{error:#}");
    let error = Agent::builder(&bed).kernel("handshake_sample", 3).start().unwrap_err();
    let reason = "handshake_sample is 3, which is not a power of two";
    assert!(error.to_string().contains(reason), "{error:#}");
}
