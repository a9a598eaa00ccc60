//! The thread that keeps everything in step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
    sync::mpsc,
    time::Duration,
};

use abi::port::Port;
use futures::StreamExt;
use rtnetlink::{
    Handle, MulticastGroup, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{self, MissedTickBehavior},
};

use super::{Command, Wanted, WatcherParts, routes, stale_sockets::StaleSockets, view};
use crate::loader::{LOG_INTERVAL, LoadError, Role};

/// Runs until the last sender of commands is gone.
pub(super) fn run(
    parts: WatcherParts,
    commands: UnboundedReceiver<Command>,
    started: &mpsc::Sender<Result<(), LoadError>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(follow(parts, commands, started)),
        Err(error) => drop(started.send(Err(LoadError::Thread(error)))),
    }
}

async fn follow(
    mut parts: WatcherParts,
    mut commands: UnboundedReceiver<Command>,
    started: &mpsc::Sender<Result<(), LoadError>>,
) {
    let (connection, handle, mut events) = match new_multicast_connection(&GROUPS) {
        Ok(connected) => connected,
        Err(error) => return drop(started.send(Err(LoadError::Netlink(error.to_string())))),
    };
    tokio::spawn(connection);
    // Nobody has followed them for a while.
    parts.control.routes_changed();

    let first = match parts.attacher.attach_sockets(&parts.cgroup) {
        Ok(()) => parts.bring_in_step(&handle, &parts.wanted.clone(), true).await,
        Err(error) => Err(error),
    };
    let first = first.and_then(|()| parts.attacher.forget_earlier_sets());
    let failed = first.is_err();
    if failed {
        parts.attacher.withdraw();
    }
    if started.send(first).is_err() || failed {
        return;
    }
    let mut sockets = parts.stale_sockets();
    let (mut part, all) = (0, parts.flows.parts());
    // What flows carry counts from now on.
    (0..all).for_each(|part| parts.age(part));
    let mut ageing = time::interval((AGEING / all).max(AGEING_PART));
    ageing.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut logs = time::interval(LOG_INTERVAL);
    logs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Prepare(wanted, done)) => {
                    let both = parts.wanted.with(&wanted);
                    parts.try_in_step(&handle, &both, false).await;
                    let _ = done.send(());
                }
                Some(Command::LookAgain) => {
                    if let Some(sockets) = &mut sockets {
                        sockets.end(&parts.peers);
                    }
                }
                Some(Command::Follow(wanted)) => {
                    parts.wanted = wanted.clone();
                    parts.try_in_step(&handle, &wanted, true).await;
                }
            },
            event = events.next() => {
                let Some((event, _)) = event else { return ended() };
                let mut routes_changed = parts.note(&event);
                let gathered = time::Instant::now() + GATHER;
                while let Ok(event) = time::timeout_at(gathered, events.next()).await {
                    let Some((event, _)) = event else { return ended() };
                    routes_changed |= parts.note(&event);
                }
                if routes_changed {
                    parts.control.routes_changed();
                }
                let wanted = parts.wanted.clone();
                parts.try_in_step(&handle, &wanted, true).await;
            }
            _ = ageing.tick() => {
                parts.age(part);
                part = (part + 1) % all;
                if part == 0 && parts.takers_changed() {
                    let wanted = parts.wanted.clone();
                    parts.try_in_step(&handle, &wanted, true).await;
                }
            }
            _ = logs.tick(), if parts.log.is_some() => {
                if let Some(log) = &mut parts.log {
                    log.flush();
                }
            }
        }
    }
}

fn ended() {
    tracing::error!("the kernel's events have ended: links are not followed");
}

impl WatcherParts {
    /// Does at once what an event asks for; says whether routes changed that flows may remember.
    fn note(&mut self, event: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
        self.hold(event);
        routes::changed(event, &self.takers)
    }

    /// Attaches to an interface that is new and a workload's by its name. News of it are not
    /// gathered: its workload may begin to send.
    fn hold(&mut self, event: &NetlinkMessage<RouteNetlinkMessage>) {
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) = &event.payload
        else {
            return;
        };
        let Some((name, link)) = view::link(message) else { return };
        if self.is_held(&name)
            && let Err(error) = self.attacher.attach(Role::Workload, &name, link.index, link.mtu)
        {
            tracing::error!(%error, interface = name, "cannot attach");
        }
    }

    /// Whether an interface is a workload's by its name.
    fn is_held(&self, interface: &str) -> bool {
        self.workload_interfaces.iter().any(|pattern| pattern.matches(interface))
            && !self.uplinks.iter().any(|uplink| uplink == interface)
    }

    /// Where services are reached at sockets.
    fn stale_sockets(&self) -> Option<StaleSockets> {
        if self.cgroup.as_os_str().is_empty() {
            return None;
        }
        let sockets = StaleSockets::new();
        sockets.inspect_err(|error| tracing::error!(%error, "sock_diag is not there")).ok()
    }

    async fn try_in_step(&mut self, handle: &Handle, wanted: &Wanted, detach: bool) {
        if let Err(error) = self.bring_in_step(handle, wanted, detach).await {
            tracing::error!(%error, "links, ports and next hops are not all as they should be");
        }
    }

    /// Attaches, writes ports and next hops and, with `detach`, takes away what is not wanted.
    async fn bring_in_step(
        &mut self,
        handle: &Handle,
        wanted: &Wanted,
        detach: bool,
    ) -> Result<(), LoadError> {
        let netlink = |error: rtnetlink::Error| LoadError::Netlink(error.to_string());
        let links = view::links(handle).await.map_err(netlink)?;
        let wanted = &self.located(handle, wanted, &links).await;
        let mut roles = BTreeMap::new();
        for port in wanted.ports.values() {
            if let Some(link) = links.get(&port.interface) {
                roles.insert(port.interface.clone(), (Role::Workload, link.index));
            }
        }
        for (interface, link) in links.iter().filter(|(interface, _)| self.is_held(interface)) {
            roles.insert(interface.clone(), (Role::Workload, link.index));
        }
        for uplink in &self.uplinks {
            if let Some(link) = links.get(uplink) {
                roles.insert(uplink.clone(), (Role::Uplink, link.index));
            }
        }
        // Ports come first: a hook that finds its port unknown drops what comes from it.
        for (id, wanted) in &wanted.ports {
            let port = links.get(&wanted.interface).map(|link| Port {
                interface: link.index,
                mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
                ..Port::default()
            });
            self.ports.write(*id, &port.unwrap_or_default());
        }
        let mut result = Ok(());
        for (interface, (role, index)) in &roles {
            let mtu = links.get(interface).map_or(0, |link| link.mtu);
            // One port that cannot be attached to must not keep the others from it.
            if let Err(error) = self.attacher.attach(*role, interface, *index, mtu) {
                tracing::error!(%error, interface, "cannot attach");
                result = Err(error);
            }
        }
        if detach {
            self.attacher.retain(&roles)?;
            self.ports.retain(|id| wanted.ports.contains_key(&id));
            self.next_hops.retain(|id| wanted.next_hops.contains_key(&id));
        }
        self.publish_attachments();
        self.resolve_next_hops(handle, wanted, &links).await.map_err(netlink)?;
        result
    }

    /// The same with the interfaces that routes tell; what has none stays without.
    async fn located(
        &mut self,
        handle: &Handle,
        wanted: &Wanted,
        links: &BTreeMap<String, view::Link>,
    ) -> Wanted {
        let mut located = wanted.clone();
        let mut unlocated = BTreeSet::new();
        for port in located.ports.values_mut().filter(|port| port.interface.is_empty()) {
            let Some(address) = port.address else { continue };
            let index = view::host_route(handle, address).await;
            let link = links.iter().find(|(_, link)| Some(link.index) == index);
            match link.filter(|(name, _)| !self.uplinks.contains(name)) {
                Some((name, _)) => port.interface.clone_from(name),
                None => drop(unlocated.insert(port.workload.clone())),
            }
        }
        for workload in unlocated.difference(&self.unlocated) {
            tracing::warn!(workload, "no interface: no route leads to its address alone");
        }
        self.unlocated = unlocated;
        located
    }

    fn publish_attachments(&self) {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        *attached = self.attacher.attachments();
    }

    /// In one part of the flow tables, frees flows that were idle for too long, and takes down before
    /// what flows carried.
    fn age(&self, part: u32) {
        match self.jiffies.now() {
            Ok(now) => {
                let freed = self.flows.age(part, now, &self.control.read().timeouts);
                tracing::debug!(part, freed, "aged flows");
            }
            Err(error) => tracing::error!(%error, "cannot read the kernel's clock"),
        }
    }
}

const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];
/// Events that come together are answered once.
const GATHER: Duration = Duration::from_millis(20);
/// How often all of the flow tables is gone through, unless they are so large that each part gets less
/// than its time.
const AGEING: Duration = Duration::from_secs(5);
const AGEING_PART: Duration = Duration::from_millis(50);
