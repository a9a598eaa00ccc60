//! The verdict of policy on a tuple: one row load and one bit test for each local end.

use abi::{
    address::Leaf,
    reason::DropReason,
    record::{
        PAGE_ALL, PAGE_FIRST, PAGE_NONE, PAGE_WORDS, PORT_SET_ALL, PORT_SET_NONE, PortSet,
        ROW_ALLOW,
    },
    table::Table,
};

use crate::{
    Address, Context, Tables, Tuple,
    classify::Ends,
    tuple::{Port, protocol},
};

/// How a packet came to the tuple that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Direct,
    /// Through a service.
    Translated,
    /// Shows no port: only a port set that holds every port of the protocol allows it.
    Portless,
}

/// Judges a connection by the tuple its packets have on the node: after translation of the
/// destination and before translation of the source.
///
/// Egress of a local source and ingress of a local destination must both allow. What
/// NetworkPolicy never blocks, a workload's own node and itself through a service, is judged by
/// rows of its own; a workload that sends to its own address is not judged at all.
#[inline(never)]
pub fn judge<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    ends: Ends,
    tuple: &Tuple<A>,
    shape: Shape,
) -> Result<(), DropReason> {
    judge_in_place(tables, ends, tuple, shape)
}

/// [`judge`], without a call.
#[inline(always)]
pub fn judge_in_place<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    ends: Ends,
    tuple: &Tuple<A>,
    shape: Shape,
) -> Result<(), DropReason> {
    let Ends { source, destination } = ends;
    let itself = source.endpoint() == destination.endpoint();
    if itself && shape != Shape::Translated {
        return Ok(());
    }
    let portless = shape == Shape::Portless;
    if source.endpoint() != 0 {
        let endpoint = tables.endpoint(source.endpoint() as u32).ok_or(DropReason::MissingMap)?;
        let exempt = itself || destination.has(Leaf::THIS_NODE);
        let row = if exempt { endpoint.egress_exempt_row } else { endpoint.egress_row };
        if !allows(tables, row, destination.class(), tuple, portless)? {
            return Err(DropReason::PolicyEgress);
        }
    }
    if destination.endpoint() != 0 {
        let endpoint =
            tables.endpoint(destination.endpoint() as u32).ok_or(DropReason::MissingMap)?;
        let exempt = itself || source.has(Leaf::THIS_NODE);
        let row = if exempt { endpoint.ingress_exempt_row } else { endpoint.ingress_row };
        if !allows(tables, row, source.class(), tuple, portless)? {
            return Err(DropReason::PolicyIngress);
        }
    }
    Ok(())
}

/// Whether a row lets a peer of `class` through.
#[inline(always)]
fn allows<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    row: u32,
    class: u32,
    tuple: &Tuple<A>,
    portless: bool,
) -> Result<bool, DropReason> {
    if row == ROW_ALLOW {
        return Ok(true);
    }
    let ids = word(tables, Table::Rows, row.wrapping_add(class >> 2))?;
    match (ids >> ((class & 3) * 16)) as u16 {
        PORT_SET_NONE => Ok(false),
        PORT_SET_ALL => Ok(true),
        id => {
            let set = PortSet(word(tables, Table::PortSets, id as u32)?);
            let page = match tuple.protocol {
                protocol::TCP => set.tcp(),
                protocol::UDP => set.udp(),
                protocol::SCTP => set.sctp(),
                _ => return Ok(set.others()),
            };
            holds(tables, page, tuple.destination_port, portless)
        }
    }
}

#[inline(always)]
fn holds<T: Tables>(
    tables: &Context<'_, T>,
    page: u16,
    port: Port,
    portless: bool,
) -> Result<bool, DropReason> {
    match page {
        PAGE_NONE => Ok(false),
        PAGE_ALL => Ok(true),
        _ if portless => Ok(false),
        _ => {
            let port = port.number() as u32;
            let first = (page - PAGE_FIRST) as u32 * PAGE_WORDS;
            let bits = word(tables, Table::Pages, first + (port >> 6))?;
            Ok(bits >> (port & 63) & 1 != 0)
        }
    }
}

#[inline(always)]
fn word<T: Tables>(tables: &Context<'_, T>, table: Table, word: u32) -> Result<u64, DropReason> {
    tables.word(table, word).ok_or(DropReason::MissingMap)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::sync::atomic::AtomicU64;

    use abi::{
        address::{Address6Key, Prefix6Key},
        affinity::{Affinity, AffinityKey},
        control::Control,
        flow::{WORDS4, WORDS6},
        frontend::FrontendKey,
        next_hop::NextHop,
        port,
        record::Endpoint,
        table::Block,
    };

    use super::*;
    use crate::{Hook, V4, flow::bucket::Bucket};

    /// Endpoints by id; row 0 allows nothing.
    struct Rows(Vec<Block>);

    impl Tables for Rows {
        type Word = AtomicU64;

        fn control(&self) -> Option<&Control> {
            None
        }

        fn element(&self, table: Table, element: u32) -> Option<&Block> {
            const NOTHING: Block = Block([PORT_SET_NONE as u64; 8]);
            match table {
                Table::Endpoints => self.0.get(element as usize / 2),
                Table::Rows => Some(&NOTHING),
                _ => None,
            }
        }

        fn address6(&self, _: &Address6Key) -> Option<Leaf> {
            None
        }

        fn prefix6(&self, _: &Prefix6Key) -> Option<Leaf> {
            None
        }

        fn frontend(&self, _: &FrontendKey) -> Option<u64> {
            None
        }

        fn next_hop(&self, _: u32) -> Option<&NextHop> {
            None
        }

        fn neighbour(&self, _: u32) -> Option<&NextHop> {
            None
        }

        fn port(&self, _: u16) -> Option<&port::Port> {
            None
        }

        fn flows4(&self, _: u32) -> Option<&Bucket<[AtomicU64; WORDS4], AtomicU64>> {
            None
        }

        fn flows6(&self, _: u32) -> Option<&Bucket<[AtomicU64; WORDS6], AtomicU64>> {
            None
        }

        fn affinity(&self, _: &AffinityKey) -> Option<Affinity> {
            None
        }

        fn remember(&self, _: &AffinityKey, _: &Affinity) {}

        fn clock(&self) -> u64 {
            0
        }

        fn nanoseconds(&self) -> u64 {
            0
        }
    }

    /// Of endpoint 1, each in turn the one that allows nothing.
    const ROWS: [&str; 4] = ["ingress", "egress", "ingress_exempt", "egress_exempt"];

    fn endpoint(denying: &str) -> Block {
        let row = |name| if name == denying { 0 } else { ROW_ALLOW };
        let [ingress_row, egress_row, ingress_exempt_row, egress_exempt_row] = ROWS.map(row);
        let endpoint = Endpoint {
            epoch: 1,
            ingress_row,
            egress_row,
            ingress_exempt_row,
            egress_exempt_row,
            ..Endpoint::default()
        };
        // SAFETY: records are plain data of a block's size (asserted in `abi`).
        unsafe { core::mem::transmute(endpoint) }
    }

    #[test]
    fn each_relation_is_judged_by_its_rows() {
        let leaf = |endpoint, flags| Leaf::new(0, endpoint, flags);
        let (pod, other) = (leaf(1, Leaf::WORKLOAD), leaf(2, Leaf::WORKLOAD));
        let (outside, node) = (leaf(0, 0), leaf(0, Leaf::THIS_NODE));
        // Source, destination, how it came, and the rows of endpoint 1 that are asked.
        let table: [(_, _, _, &[&str]); 9] = [
            (outside, pod, Shape::Direct, &["ingress"]),
            (pod, outside, Shape::Translated, &["egress"]),
            (other, pod, Shape::Portless, &["ingress"]),
            (node, pod, Shape::Direct, &["ingress_exempt"]),
            (pod, node, Shape::Translated, &["egress_exempt"]),
            (pod, pod, Shape::Direct, &[]),
            (pod, pod, Shape::Portless, &[]),
            (pod, pod, Shape::Translated, &["ingress_exempt", "egress_exempt"]),
            (outside, node, Shape::Translated, &[]),
        ];
        let port = Port(80_u16.to_be());
        let tuple = Tuple {
            source: V4::new([10, 0, 0, 1]),
            destination: V4::new([10, 0, 0, 2]),
            source_port: port,
            destination_port: port,
            protocol: protocol::TCP,
        };
        let control = Control::default();
        for (source, destination, shape, asked) in table {
            for denying in ROWS {
                let tables = Rows(vec![endpoint(""), endpoint(denying), endpoint("")]);
                let context = Context {
                    hook: Hook::UplinkIngress,
                    interface: 0,
                    tables: &tables,
                    control: &control,
                    side: 0,
                };
                let verdict = judge(&context, Ends { source, destination }, &tuple, shape);
                let denied = verdict.is_err();
                assert_eq!(
                    denied,
                    asked.contains(&denying),
                    "{source:?} {destination:?} {denying}"
                );
            }
        }
    }
}
