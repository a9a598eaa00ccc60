//! Every proxy over the same objects, with more and more services.

use std::{collections::BTreeSet, ops::Range, thread};

use serde::Serialize;

use super::{
    ClusterError, KubernetesOptions,
    changes::{Changing, Latency},
    cost::{Busy, Memory, Start},
    lab::{Lab, settle},
    objects::{Side, address, endpoints, nodes, service, service_name, sided_slice, slice},
    plane::Plane,
    proxy::{ALL, Proxy},
};
use crate::bench::wire::Figures;

/// A proxy with so many services.
#[derive(Debug, Serialize)]
pub struct Row {
    pub services: u32,
    pub proxy: Proxy,
    pub start: Start,
    /// One backend becomes another.
    pub endpoint: Latency,
    /// A service is created with its slice.
    pub service: Latency,
    /// Of a processor, in milliseconds, for each of these changes.
    pub change_cpu_ms: f64,
    /// Per cent of a processor while nothing changes.
    pub rest_cpu: f64,
    pub memory: Memory,
    pub packets: Figures,
    /// Per cent of a processor, of the proxy's own, while these come.
    pub packets_cpu: f64,
}

/// One proxy after the other, with each number of services.
pub fn measure(options: &KubernetesOptions) -> Result<Vec<Row>, ClusterError> {
    let plane = Plane::start(&options.binaries)?;
    plane.create(nodes())?;
    let (mut rows, mut written, mut changing) = (Vec::new(), 0, Changing::default());
    let sizes: BTreeSet<u32> = options.sizes.iter().copied().collect();
    for services in sizes {
        write(&plane, written..services, &mut changing)?;
        written = services;
        for proxy in ALL {
            let mut lab = Lab::start(&plane, &options.binaries, proxy)?;
            rows.push(row(options, &plane, &mut lab, services, &mut changing)?);
        }
    }
    Ok(rows)
}

/// Creates services, some of which will change.
fn write(plane: &Plane, new: Range<u32>, changing: &mut Changing) -> Result<(), ClusterError> {
    let chosen = spread(new.clone());
    changing.add(&chosen);
    plane.create(new.clone().map(|it| service(&service_name(it), address(it))))?;
    plane.create(new.map(move |it| {
        let name = service_name(it);
        if chosen.contains(&it) {
            sided_slice(&name, Side::A)
        } else {
            slice(&name, &endpoints(it))
        }
    }))
}

fn row(
    options: &KubernetesOptions,
    plane: &Plane,
    lab: &mut Lab,
    services: u32,
    changing: &mut Changing,
) -> Result<Row, ClusterError> {
    let (any, side) = changing.any();
    let sync = lab.wait_until_synced(any, side)?;
    let start = Start::of(lab, sync);
    settle();
    let busy = Busy::from_now(lab);
    let endpoint = changing.endpoints(lab, plane, options)?;
    let service = changing.services(lab, plane, options)?;
    let changes = endpoint.samples + 2 * service.samples;
    let change_cpu_ms = busy.time(lab).as_secs_f64() * 1e3 / f64::from(changes.max(1));
    lab.pause();
    settle();
    let busy = Busy::from_now(lab);
    thread::sleep(options.rest());
    let (rest_cpu, memory) = (busy.percent(lab), Memory::of(lab));
    let (packets, packets_cpu) = lab.packets(services, ROUNDS, FRAMES)?;
    Ok(Row {
        services,
        proxy: lab.proxy,
        start,
        endpoint,
        service,
        change_cpu_ms: (change_cpu_ms * 100.0).round() / 100.0,
        rest_cpu,
        memory,
        packets,
        packets_cpu,
    })
}

/// Some of many, with the same distance.
fn spread(all: Range<u32>) -> Vec<u32> {
    let step = (all.len() as u32).div_ceil(CHANGING).max(1);
    all.step_by(step as usize).collect()
}

/// Services of a cluster that change, at most.
const CHANGING: u32 = 64;
const ROUNDS: u32 = 5;
const FRAMES: u32 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_spread_among_all() {
        assert_eq!(spread(0..3), [0, 1, 2]);
        assert_eq!(spread(5..5), [0; 0]);
        let some = spread(10..1000);
        assert_eq!((some[0], some[1], some.len()), (10, 26, 62));
    }
}
