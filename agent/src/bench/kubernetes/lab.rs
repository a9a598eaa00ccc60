//! Clients, a node with a proxy, and backends, each in a namespace of its own.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sched::CpuSet;

use super::{
    ClusterError,
    cgroup::Cgroup,
    cost::Busy,
    objects::{self, Side},
    plane::Plane,
    program::{Program, Scratch},
    proxy::Proxy,
    stream::{Arrivals, Stream},
};
use crate::{
    bench::{
        generate::{Addresses, Frames, Load, Mac, Shape},
        process::Process,
        wire::{
            Figures, GENERATOR, NODE, Namespace, Passage, SERVICE_PORT, Tally, WireError, connect,
        },
    },
    loader::{WireProgram, WirePrograms},
};

/// One proxy on its node.
pub struct Lab {
    pub proxy: Proxy,
    stream: Stream,
    arrivals: Arrivals,
    program: Program,
    started: Instant,
    /// Gone after the program that is in it.
    cgroup: Option<Cgroup>,
    _pins: Pins,
    clients: Namespace,
    end: Namespace,
    _node: Namespace,
    _scratch: Scratch,
}

impl Lab {
    /// Builds the namespaces and starts the proxy.
    pub fn start(plane: &Plane, binaries: &Path, proxy: Proxy) -> Result<Self, ClusterError> {
        let [clients, node, end] = ["clients", "node", "backends"]
            .map(|place| Namespace::create(&format!("{proxy}-{place}")));
        let (clients, node, end) = (clients?, node?, end?);
        connect(&clients, &node, &end, 1)?;
        populate(&clients, &end)?;
        plane.link(&node)?;
        let scratch = Scratch::create(node.name())?;
        let pins = Pins(Path::new("/sys/fs/bpf").join(node.name()));
        let (stream, arrivals) = (Stream::start(&clients)?, Arrivals::listen(&end)?);
        let cgroup = Cgroup::create(node.name());
        let command = proxy.command(&node, binaries, plane.kubeconfig(), &scratch, &pins.0)?;
        let started = Instant::now();
        let program = Program::start(command, proxy.name(), scratch.path())?;
        if let Some(cgroup) = &cgroup {
            cgroup.adopt(program.id())?;
        }
        Ok(Self {
            proxy,
            stream,
            arrivals,
            program,
            started,
            cgroup,
            _pins: pins,
            clients,
            end,
            _node: node,
            _scratch: scratch,
        })
    }

    /// Waits for the first packet through a service; gives the time since the proxy was started.
    pub fn wait_until_synced(
        &mut self,
        service: Ipv4Addr,
        side: Side,
    ) -> Result<Duration, ClusterError> {
        self.expect(service, side)?;
        loop {
            self.program.check()?;
            let number = self.stream.aim(service);
            if let Some(came) = self.arrivals.wait(side, number, Duration::from_secs(1))? {
                self.stream.pause();
                return Ok(came - self.started);
            }
            if self.started.elapsed() > SYNC {
                return Err(self.not_followed("the cluster", SYNC));
            }
        }
    }

    /// Turns the stream to a service, of which nothing has come to this side yet.
    pub fn expect(&mut self, service: Ipv4Addr, side: Side) -> Result<Expected, ClusterError> {
        self.arrivals.drain(side)?;
        Ok(Expected { side, number: self.stream.aim(service) })
    }

    /// When the first packet comes.
    pub fn arrival(&mut self, expected: Expected) -> Result<Instant, ClusterError> {
        let Expected { side, number } = expected;
        if let Some(came) = self.arrivals.wait(side, number, CHANGE)? {
            return Ok(came);
        }
        self.program.check()?;
        Err(self.not_followed("a change", CHANGE))
    }

    /// Waits until packets of the stream come to this side no more.
    pub fn until_quiet(&self, side: Side) -> Result<(), ClusterError> {
        if self.arrivals.quiet(side, CHANGE)? {
            Ok(())
        } else {
            Err(self.not_followed("a removal", CHANGE))
        }
    }

    pub fn pause(&self) {
        self.stream.pause();
    }

    pub fn process(&self) -> Process {
        Process(self.program.id())
    }

    /// Memory that the kernel keeps for the proxy.
    pub fn kernel_bytes(&self) -> Option<u64> {
        self.cgroup.as_ref().and_then(Cgroup::kernel_bytes)
    }

    /// Packets of established flows through the first services, and per cent of a processor that the proxy
    /// itself takes meanwhile.
    pub fn packets(
        &self,
        services: u32,
        rounds: u32,
        frames: u32,
    ) -> Result<(Figures, f64), ClusterError> {
        self.stream.pause();
        let mut counter = WirePrograms::load(CpuSet::count() as u32).map_err(WireError::from)?;
        self.end.run(|| Ok(counter.attach(WireProgram::Drop, "sink0")?))?;
        let load = |interface| {
            let shape = Shape {
                interface,
                macs: (Mac(GENERATOR), Mac(NODE)),
                source: Addresses { first: Ipv4Addr::new(198, 18, 0, 0).into(), count: 1 << 16 },
                destination: Addresses {
                    first: objects::address(0).into(),
                    count: services.min(CALLED),
                },
                destination_port: SERVICE_PORT,
                flows: FLOWS,
                size: SIZE,
            };
            Ok(Load::Frames(Frames::udp(&shape)?))
        };
        let counted = Box::new(|| Ok(counter.counted()));
        let passage = Passage::open(&self.clients, 1, load, counted)?;
        passage.send(WARM_UP)?;
        // The node has heard of a link that changed.
        settle();
        let (busy, mut tally) = (Busy::from_now(self), Tally::default());
        for _ in 0..rounds {
            let sent = passage.send(frames.into())?;
            if sent.through == 0 {
                return Err(WireError::NothingCame { router: self.proxy.to_string() }.into());
            }
            tally.add(sent);
        }
        Ok((tally.figures(), busy.percent(self)))
    }

    fn not_followed(&self, what: &str, patience: Duration) -> ClusterError {
        ClusterError::NotFollowed {
            what: what.to_owned(),
            seconds: patience.as_secs(),
            name: self.program.name().to_owned(),
            said: self.program.said(),
        }
    }
}

/// A packet that is to come.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    side: Side,
    number: u32,
}

/// What the agent leaves in the kernel, until it is dropped.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, pins = %self.0.display(), "pins are left");
            }
            _ => {}
        }
    }
}

/// Addresses, ways back, and what real ends of a wire have: whole checksums.
fn populate(clients: &Namespace, end: &Namespace) -> Result<(), WireError> {
    let lines = |interface: &str, address: &str, gateway: &str, own: &[Ipv4Addr]| {
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("addr add {address}/24 dev {interface}"),
            format!("route add default via {gateway}"),
        ];
        lines.extend(own.iter().map(|it| format!("addr add {it}/32 dev lo")));
        lines
    };
    let own = [Side::A, Side::B].map(Side::address);
    clients.ip(&lines("gen0", "10.200.0.2", "10.200.0.1", &[]))?;
    end.ip(&lines("sink0", "10.201.0.2", "10.201.0.1", &own))?;
    for (namespace, interface) in [(clients, "gen0"), (end, "sink0")] {
        let options = ["ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off"];
        namespace.feed(&options, "")?;
    }
    Ok(())
}

/// A pause after which nothing of before is under way.
pub fn settle() {
    thread::sleep(Duration::from_secs(2));
}

/// A first sync of many services takes its time.
const SYNC: Duration = Duration::from_mins(5);
const CHANGE: Duration = Duration::from_mins(1);
/// Services that packets are for, at most, and flows that they are of.
const CALLED: u32 = 64;
const FLOWS: u32 = 64;
/// Of a frame, without its checksum: the shortest that there are.
const SIZE: u32 = 60;
const WARM_UP: u64 = 1000;
