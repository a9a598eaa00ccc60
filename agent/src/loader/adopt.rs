//! The control record of new maps and of those that an earlier agent left.

use std::time::Duration;

use abi::{
    ABI_VERSION,
    control::{CONTROL_MAP, Control, Timeouts},
};

use super::{config::KernelConfig, error::LoadError, flow_buckets::flow_buckets};
use crate::maps::{Backing, Jiffies, KernelMaps};

/// What becomes of the record that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The maps were just made, or their maker did not get as far as this.
    New,
    Ours,
}

/// Fills the record of new maps; accepts that of earlier ones if it is of this ABI. What the
/// configuration says of packets holds from now on.
pub fn adopt(maps: &KernelMaps, config: &KernelConfig, jiffies: &Jiffies) -> Result<(), LoadError> {
    if judge(&maps.control())? == Found::New {
        let [flows4, flows6] = flow_buckets(config);
        maps.initialise(&Control {
            hash_key: rand::random(),
            flow4_mask: flows4 - 1,
            flow6_mask: flows6 - 1,
            timeouts: timeouts(|duration| jiffies.ticks(duration)),
            abi_version: ABI_VERSION,
            jiffies_per_second: jiffies.hz(),
            ..Control::default()
        });
    }
    maps.configure(&Control {
        masquerade: config.masquerade_ports.range(),
        midstream: config.midstream.word(),
        handshake_sample: config.handshake_sample,
        fresh: jiffies.ticks(FRESH),
        ..maps.control()
    });
    Ok(())
}

/// The version is the record's last store, so without one there is nothing to keep.
fn judge(found: &Control) -> Result<Found, LoadError> {
    match found.abi_version {
        0 => Ok(Found::New),
        ABI_VERSION => Ok(Found::Ours),
        version => Err(LoadError::Incompatible {
            map: CONTROL_MAP,
            what: "ABI version",
            found: version,
            expected: ABI_VERSION,
        }),
    }
}

/// How long a confirmed flow may be idle and keep its place in a full bucket. Longer than clients and
/// proxies usually let connections of theirs rest; and still, who opens connections and lets them
/// sleep keeps others out for no longer than that.
const FRESH: Duration = Duration::from_mins(5);

/// Idle times after which flows go. An established TCP connection gets more than two hours, the
/// default interval of keep-alive probes.
fn timeouts(ticks: impl Fn(Duration) -> u32) -> Timeouts {
    let seconds = |seconds| ticks(Duration::from_secs(seconds));
    Timeouts {
        tcp_new: seconds(10),
        tcp_established: seconds(8000),
        tcp_closing: seconds(30),
        udp: seconds(120),
        other: seconds(30),
        refresh: seconds(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_this_abi_are_kept() {
        let record = |abi_version| Control { abi_version, ..Control::default() };
        assert_eq!(judge(&record(0)).unwrap(), Found::New);
        assert_eq!(judge(&record(ABI_VERSION)).unwrap(), Found::Ours);
        let message = judge(&record(ABI_VERSION + 1)).unwrap_err().to_string();
        assert!(
            message.starts_with(
                "the pinned map zg8_control has ABI version 9, and this agent wants 8"
            ),
            "{message}"
        );
    }

    #[test]
    fn timeouts_are_ordered_as_flows_live() {
        let times = timeouts(|duration| duration.as_secs() as u32 * 250);
        assert!(times.refresh < times.tcp_new && times.tcp_new < times.tcp_closing);
        assert!(times.tcp_closing < times.udp && times.udp < times.tcp_established);
        assert!(times.tcp_established < u32::MAX / 2);
    }
}
