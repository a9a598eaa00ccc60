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

/// Judges a connection by the tuple its packets have on the node: after translation of the
/// destination and before translation of the source.
///
/// Egress of a local source and ingress of a local destination must both allow. A workload is
/// never cut from itself or from its own node (Kubernetes NetworkPolicy). `portless` is for what
/// shows no port: only a port set that holds every port of the protocol allows it.
#[inline(never)]
pub fn judge<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    ends: Ends,
    tuple: &Tuple<A>,
    portless: bool,
) -> Result<(), DropReason> {
    let Ends { source, destination } = ends;
    if source.endpoint() == destination.endpoint() {
        return Ok(());
    }
    if source.endpoint() != 0 && !destination.has(Leaf::THIS_NODE) {
        let endpoint = tables.endpoint(source.endpoint() as u32).ok_or(DropReason::MissingMap)?;
        if !allows(tables, endpoint.egress_row, destination.class(), tuple, portless)? {
            return Err(DropReason::PolicyEgress);
        }
    }
    if destination.endpoint() != 0 && !source.has(Leaf::THIS_NODE) {
        let endpoint =
            tables.endpoint(destination.endpoint() as u32).ok_or(DropReason::MissingMap)?;
        if !allows(tables, endpoint.ingress_row, source.class(), tuple, portless)? {
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
