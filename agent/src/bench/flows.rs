//! Opening flows through the programs, and knowing which the table kept.

use std::collections::BTreeSet;

use abi::bench::PORT_BITS;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    BenchError,
    frame::Clients,
    runner::{self, Amount},
    scenario::Group,
};
use crate::{dataplane::Flow, loader::Rig};

/// Opens flows into the empty tables and answers them; gives the numbers of `wanted` of them in
/// the order in which packets will come, the same in every run.
///
/// A bucket has four entries: where more flows meet, some replace others, and reopen them forever
/// if packets keep coming. So more are opened than wanted, and those that were kept are used.
pub fn open(rig: &mut Rig, group: &Group, wanted: u32) -> Result<Vec<u32>, BenchError> {
    let opened = wanted + wanted / 4 + 64;
    let name = "opening";
    rig.prologue.set_up(&group.first.packet.setup(0, 0));
    runner::run(rig, &group.first, Amount { flows: wanted, packets: opened })?;
    let clients = &group.first.packet.clients;
    let mut kept: Vec<u32> = whole(&rig.live_flows()?, clients).into_iter().collect();
    tracing::debug!(name, opened, kept = kept.len());
    kept.shuffle(&mut StdRng::seed_from_u64(1));
    if kept.len() < wanted as usize {
        return Err(BenchError::TooFewFlows { wanted, opened, kept: kept.len() as u32 });
    }
    kept.truncate(wanted as usize);
    rig.prologue.list_flows(&kept);
    if let Some(answer) = &group.answer {
        rig.prologue.set_up(&answer.packet.setup(wanted, 0));
        runner::run(rig, answer, Amount { flows: wanted, packets: wanted })?;
    }
    Ok(kept)
}

/// Numbers of `wanted` flows whose clients are at so many addresses, in no order, the same in every
/// run.
pub fn scattered(wanted: u32, addresses: u32) -> Vec<u32> {
    let addresses = addresses.clamp(1, 1 << (u32::BITS - PORT_BITS));
    let number = |flow: u32| ((flow % addresses) << PORT_BITS) | (flow / addresses);
    let mut numbers: Vec<u32> = (0..wanted).map(number).collect();
    numbers.shuffle(&mut StdRng::seed_from_u64(1));
    numbers
}

/// The numbers of the flows whose entries are both there.
fn whole(entries: &[Flow], clients: &Clients) -> BTreeSet<u32> {
    let is_ipv6 = clients.first.is_ipv6();
    let family = entries.iter().filter(|flow| flow.source.is_ipv6() == is_ipv6);
    let (replies, forward): (Vec<_>, Vec<_>) = family.partition(|flow| flow.reply);
    let answered: BTreeSet<u32> =
        replies.iter().map(|flow| clients.flow_of(flow.translated_destination)).collect();
    let forward = forward.iter().map(|flow| clients.flow_of(flow.source));
    forward.filter(|flow| answered.contains(flow)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::world::{OUTSIDERS4, OUTSIDERS6};

    #[test]
    fn scattered_flows_are_of_all_addresses() {
        let numbers = scattered(10, 4);
        let mut ports = [0; 4];
        for number in &numbers {
            ports[(number >> PORT_BITS) as usize] += 1;
        }
        assert_eq!(ports, [3, 3, 2, 2]);
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 10);
        assert!(!numbers.is_sorted());
    }

    #[test]
    fn flows_with_half_their_entries_are_not_whole() {
        let entry = |source: &str, destination: &str, reply| {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            Flow {
                protocol: 6,
                source,
                destination,
                translated_source: source,
                translated_destination: destination,
                reply,
                service: 1,
                backend: 1,
                idle: Duration::ZERO,
                packets: 0,
                bytes: 0,
                handshake: None,
            }
        };
        let entries = [
            entry("198.18.0.0:32768", "10.96.0.0:80", false),
            entry("10.128.0.0:8080", "198.18.0.0:32768", true),
            entry("198.18.0.0:32769", "10.96.0.1:80", false),
            entry("10.128.0.2:8080", "198.18.0.0:32770", true),
            entry("[2001:db8::]:32768", "[fd00::]:80", false),
        ];
        assert_eq!(whole(&entries, &OUTSIDERS4), BTreeSet::from([0]));
        assert_eq!(whole(&entries, &OUTSIDERS6), BTreeSet::new());
    }
}
