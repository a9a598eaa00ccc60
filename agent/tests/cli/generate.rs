//! What the packet generator refuses.

use crate::program::{says, zonegate};

#[test]
fn no_interface_is_chosen_by_itself() {
    let mac = ["--destination-mac", "2:0:0:0:0:2"];
    for (arguments, part) in [
        (&mac[..], "--interface <NAME>"),
        (&["-i", "lo"], "--destination-mac <MAC>"),
        (&[&["-i", "no-such"], &mac[..]].concat(), "there is no interface no-such here"),
    ] {
        says(&zonegate(&[&["bench", "generate"], arguments].concat()).failure(2), &[part]);
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    for (options, part) in [
        (&["--flows", "2", "--source-port", "9"][..], "addresses and ports make 1 flows, not 2"),
        (&["--source", "::1"], "source and destination are of two families"),
        (&["--source", "10.0.0.2-10.0.0.1"], "the last one is before the first"),
        (&["--source-port", "2-1"], "the last one is before the first"),
        (&["--destination-mac", "2:0"], "not six bytes"),
        (&["--size", "41"], "the headers take 42 bytes, and a frame is to have 41"),
        (&["--size", "2041"], "2041 is not in 14..=2040"),
        (&["--batch", "257"], "257 is not in 1..=256"),
        (&["--duration", "0"], "it is no time at all"),
        (&["--rate", "0"], "0 is not in 1.."),
        (&["--replay", "x.pcap"], "cannot be used with"),
    ] {
        let lo = ["bench", "generate", "-i", "lo", "--allow-default-route"];
        let mac = if options[0] == "--destination-mac" {
            &[][..]
        } else {
            &["--destination-mac", "2:0:0:0:0:2"]
        };
        says(&zonegate(&[&lo, mac, options].concat()).failure(2), &[part]);
    }
    let missing = zonegate(&["bench", "generate", "-i", "lo", "--replay", "/nonexistent.pcap"]);
    says(&missing.failure(2), &["cannot replay /nonexistent.pcap: No such file"]);
}

#[test]
fn benchmarks_of_wires_know_their_routers_and_sizes() {
    for (arguments, part) in [
        (&["wire", "--sizes", "63"][..], "63 is not in 64..=1518"),
        (&["wire", "--flows", "0"], "not between 1 and 16M"),
        (&["compare", "--routers", "zonegate,ipvs-10"], "nftables-N and iptables-N"),
        (&["compare", "--routers", "nftables-0"], "N from 1 to 65536"),
        (&["compare", "--rounds", "0"], "0 is not in 1.."),
    ] {
        says(&zonegate(&[&["bench"], arguments].concat()).failure(2), &[part]);
    }
}
