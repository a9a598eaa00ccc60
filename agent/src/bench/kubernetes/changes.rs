//! Changes in the API, one after another, and the first packet that follows each.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::task::JoinHandle;

use super::{
    ClusterError, KubernetesOptions,
    lab::Lab,
    objects::{self, Side, service_name, sided_slice},
    plane::Plane,
};
use crate::bench::statistics::{Percentiles, Summary};

/// Services of a cluster whose only backend changes.
#[derive(Debug, Default)]
pub struct Changing {
    services: Vec<(u32, Side)>,
    turn: usize,
    /// Services that came and went.
    created: u32,
}

impl Changing {
    /// Takes in services that have their first backend.
    pub fn add(&mut self, services: &[u32]) {
        self.services.extend(services.iter().map(|service| (*service, Side::A)));
    }

    /// One of them, and where its packets arrive.
    pub fn any(&self) -> (Ipv4Addr, Side) {
        let (service, side) = self.services[0];
        (objects::address(service), side)
    }

    /// The next change of a backend: whose, and to which.
    pub fn next(&mut self) -> (u32, Side) {
        let turn = self.turn % self.services.len();
        self.turn += 1;
        let (service, side) = &mut self.services[turn];
        *side = side.other();
        (*service, *side)
    }

    /// Has the backend of one service after another become another one.
    pub fn endpoints(
        &mut self,
        lab: &mut Lab,
        plane: &Plane,
        options: &KubernetesOptions,
    ) -> Result<Latency, ClusterError> {
        repeat(options, || {
            let (service, side) = self.next();
            let slice = sided_slice(&service_name(service), side);
            follow(lab, plane, (objects::address(service), side), || [plane.begin_to_patch(slice)])
        })
    }

    /// Creates a service and its slice, both at once, and deletes them again.
    pub fn services(
        &mut self,
        lab: &mut Lab,
        plane: &Plane,
        options: &KubernetesOptions,
    ) -> Result<Latency, ClusterError> {
        repeat(options, || {
            let number = self.created;
            self.created += 1;
            let (name, address) = (format!("new-{number}"), objects::new_address(number));
            let (service, slice) = (objects::service(&name, address), sided_slice(&name, NEW_SIDE));
            let times = follow(lab, plane, (address, NEW_SIDE), || {
                [service.clone(), slice.clone()].map(|it| plane.begin_to_create(it))
            })?;
            plane.delete(&slice)?;
            plane.delete(&service)?;
            lab.until_quiet(NEW_SIDE)?;
            Ok(times)
        })
    }
}

const NEW_SIDE: Side = Side::B;

/// Begins a change after which packets for a service arrive at a side; gives the time until the first of
/// them, and until the apiserver has answered everything.
fn follow<const N: usize>(
    lab: &mut Lab,
    plane: &Plane,
    (service, side): (Ipv4Addr, Side),
    begin: impl FnOnce() -> [JoinHandle<Result<Instant, ClusterError>>; N],
) -> Result<(Duration, Duration), ClusterError> {
    let expected = lab.expect(service, side)?;
    pause();
    let begun = Instant::now();
    let changes = begin();
    let came = lab.arrival(expected)?;
    let mut answered = begun;
    for change in changes {
        answered = answered.max(plane.join(change)?);
    }
    Ok((came - begun, answered - begun))
}

/// Makes as many changes as are wanted, or as there is time for.
fn repeat(
    options: &KubernetesOptions,
    mut change: impl FnMut() -> Result<(Duration, Duration), ClusterError>,
) -> Result<Latency, ClusterError> {
    let begun = Instant::now();
    let (mut packets, mut answers) = (Vec::new(), Vec::new());
    while packets.len() < options.samples as usize && begun.elapsed() < options.series() {
        let (packet, answer) = change()?;
        packets.push(packet.as_secs_f64() * 1e3);
        answers.push(answer.as_secs_f64() * 1e3);
    }
    Ok(Latency::of(packets, &answers))
}

/// Between changes, so that they meet no rhythm of the proxy's.
fn pause() {
    thread::sleep(Duration::from_millis(50).mul_f64(rand::random_range(1.0..3.0)));
}

/// Milliseconds from just before a change was sent to the apiserver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    pub samples: u32,
    /// To the first packet that followed it.
    pub min: f64,
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// To the apiserver's answer: the median.
    pub answer: f64,
}

impl Latency {
    fn of(packets: Vec<f64>, answers: &[f64]) -> Self {
        Self {
            samples: packets.len() as u32,
            min: Summary::hundredths(&packets).min,
            percentiles: Percentiles::of(packets),
            answer: Summary::hundredths(answers).median,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_takes_its_turn_and_changes_sides() {
        let mut changing = Changing::default();
        changing.add(&[0, 5]);
        assert_eq!(changing.any(), (objects::address(0), Side::A));
        let turns: Vec<_> = (0..4).map(|_| changing.next()).collect();
        assert_eq!(turns, [(0, Side::B), (5, Side::B), (0, Side::A), (5, Side::A)]);
    }
}
