//! A node in memory: the real `datapath` over the tables of one [`Image`], without a kernel.
//!
//! What a simulated node says of a packet is what the programs would say of the same bytes under
//! the same tables: offline checks and tests rest on that, and a kernel test holds the two
//! against each other.

mod frame;
mod tables;

use std::net::{IpAddr, SocketAddr};

use abi::reason::DropReason;
use datapath::{
    Address, Context, Ends, Fast, Hook, Miss, Offer, Port, Shape, SlowPath, Tuple, V4, V6, Verdict,
    Work, fast, first, slow,
};

pub use frame::Frame;
pub use tables::SimulatedTables;

/// Sends a frame through a hook of the node with these tables. `interface` is the index of the
/// interface that the hook is on; of a workload's port it is [`SimulatedTables::interface`].
pub fn send(tables: &SimulatedTables, hook: Hook, interface: u32, frame: &mut Frame) -> Verdict {
    let hook = At { tables, hook, interface };
    match fast(hook.hook, interface, frame, tables) {
        Fast::Done(verdict) => verdict,
        Fast::Missed4(miss) => hook.leave::<V4>(frame, miss),
        Fast::Missed6(miss) => hook.leave::<V6>(frame, miss),
    }
}

/// A hook of the node.
struct At<'t> {
    tables: &'t SimulatedTables,
    hook: Hook,
    interface: u32,
}

impl At<'_> {
    /// What the programs that go on say of a packet.
    fn leave<A: Address>(&self, frame: &mut Frame, miss: Miss) -> Verdict {
        let mut work = Work::<A>::default();
        work.begin(miss);
        let connections_begin = matches!(self.hook, Hook::UplinkIngress | Hook::WorkloadIngress);
        if connections_begin && matches!(miss, Miss::New(_)) {
            first(self.hook, self.interface, frame, &mut work, self.tables, self)
        } else {
            self.go_on(frame, &mut work)
        }
    }
}

impl<A: Address> SlowPath<A, Frame> for &At<'_> {
    fn go_on(&self, frame: &mut Frame, work: &mut Work<A>) -> Verdict {
        match slow(self.hook, self.interface, frame, work, self.tables) {
            Verdict::Miss => slow(self.hook, self.interface, frame, work, self.tables),
            verdict => verdict,
        }
    }
}

/// A connection, by the values that tables are asked with.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    pub source: IpAddr,
    /// Of protocols without ports, port 0.
    pub destination: SocketAddr,
    /// By number.
    pub protocol: u8,
}

/// What a service has for the client of a connection; `Ok(None)`: the destination is no frontend.
/// The client may be at the node itself, from where no packet comes to a hook.
pub fn offer(tables: &SimulatedTables, query: Query) -> Result<Option<Offer>, DropReason> {
    fn ask<A: Address>(
        tables: &SimulatedTables,
        tuple: Tuple<A>,
    ) -> Result<Option<Offer>, DropReason> {
        let context = context(tables)?;
        let ends = Ends::of(&tuple, &context).ok_or(DropReason::MissingMap)?;
        datapath::offer(&context, ends, &tuple)
    }
    match tuple(query) {
        Some(Either::V4(tuple)) => ask(tables, tuple),
        Some(Either::V6(tuple)) => ask(tables, tuple),
        None => Ok(None),
    }
}

/// What policy says of a connection of this shape, at those of its ends that are local.
pub fn judge(tables: &SimulatedTables, query: Query, shape: Shape) -> Result<(), DropReason> {
    fn ask<A: Address>(
        tables: &SimulatedTables,
        tuple: Tuple<A>,
        shape: Shape,
    ) -> Result<(), DropReason> {
        let context = context(tables)?;
        let ends = Ends::of(&tuple, &context).ok_or(DropReason::MissingMap)?;
        datapath::judge(&context, ends, &tuple, shape)
    }
    match tuple(query) {
        Some(Either::V4(tuple)) => ask(tables, tuple, shape),
        Some(Either::V6(tuple)) => ask(tables, tuple, shape),
        None => Ok(()),
    }
}

fn context(tables: &SimulatedTables) -> Result<Context<'_, SimulatedTables>, DropReason> {
    Context::new(Hook::UplinkIngress, 0, tables).map_err(|_| DropReason::MissingMap)
}

enum Either {
    V4(Tuple<V4>),
    V6(Tuple<V6>),
}

/// `None` where the addresses are of different families.
fn tuple(Query { source, destination, protocol }: Query) -> Option<Either> {
    fn tuple<A>(source: A, destination: A, port: u16, protocol: u8) -> Tuple<A> {
        let (source_port, destination_port) = (Port::default(), Port::new(port));
        Tuple { source, destination, source_port, destination_port, protocol }
    }
    let port = destination.port();
    match (source, destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [source, destination] = [source, destination].map(|it| V4::new(it.octets()));
            Some(Either::V4(tuple(source, destination, port, protocol)))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [source, destination] = [source, destination].map(|it| V6::new(it.octets()));
            Some(Either::V6(tuple(source, destination, port, protocol)))
        }
        _ => None,
    }
}
