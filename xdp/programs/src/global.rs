//! Functions that the verifier looks at once for each program, wherever they are called from: "global"
//! ones, whose arguments and results are integers (kernel: `btf_prepare_func_args`).

use abi::reason::DropReason;
use datapath::{
    Address, Tables, V4, V6,
    flow::{bucket::Inserted, table},
};

use crate::{maps, tables::KernelTables};

/// Inserts the entry of this processor's work; see [`Tables::insert4`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn insert4(hash: u64) -> u64 {
    insert::<V4>(hash)
}

/// The same of the other family.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn insert6(hash: u64) -> u64 {
    insert::<V6>(hash)
}

#[inline(always)]
fn insert<A: Address>(hash: u64) -> u64 {
    let (Some(work), Some(control)) = (maps::work::<A>(), KernelTables.control()) else {
        return MISSING;
    };
    match table::put::<A, _, false>(&KernelTables, control, hash, &work.key, &work.entry) {
        Ok(Inserted { place, is_new: false }) => place as u64,
        Ok(Inserted { place, is_new: true }) => place as u64 | NEW,
        Err(DropReason::FlowTableFull) => FULL,
        Err(DropReason::FlowRace) => RACE,
        Err(_) => MISSING,
    }
}

/// The place is below that.
const NEW: u64 = 8;
const FULL: u64 = 16;
const RACE: u64 = 17;
const MISSING: u64 = 18;

/// What a call's result says.
#[inline(always)]
pub fn unpack(result: u64) -> Result<Inserted, DropReason> {
    match result {
        FULL => Err(DropReason::FlowTableFull),
        RACE => Err(DropReason::FlowRace),
        MISSING => Err(DropReason::MissingMap),
        _ => Ok(Inserted { place: (result & 7) as usize, is_new: result & NEW != 0 }),
    }
}
