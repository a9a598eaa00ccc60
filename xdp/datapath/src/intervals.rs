//! Whether an address is in one of many ranges.

use abi::{
    record::{INTERVAL_WORDS, Intervals},
    table::{self, Block, Table},
};

use crate::{Address, Context, Tables, Word};

/// Steps of a search through [`Intervals::MAX`] ranges.
const STEPS: u32 = Intervals::MAX.ilog2() + 1;

/// Searches the ranges by halves. `None` where a table is missing.
#[inline(never)]
pub fn contains<A: Address, T: Tables>(
    context: &Context<'_, T>,
    intervals: u64,
    address: &A,
) -> Option<bool> {
    let intervals = Intervals(intervals);
    let address = address.number();
    let (mut first, mut count) = (intervals.start(), intervals.count());
    for _ in 0..STEPS {
        if count == 0 {
            return Some(false);
        }
        let half = count >> 1;
        let middle = first.wrapping_add(half);
        let block = context.tables.element(
            Table::Intervals,
            table::element(middle / INTERVALS_PER_BLOCK, context.side),
        )?;
        let Block([a, b, c, d, e, f, g, h]) = block;
        let [low, high] = if middle & 1 == 0 { [(*a, *b), (*c, *d)] } else { [(*e, *f), (*g, *h)] };
        if address < low {
            count = half;
        } else if address > high {
            first = middle.wrapping_add(1);
            count = count.wrapping_sub(half).wrapping_sub(1);
        } else {
            return Some(true);
        }
        // The verifier would follow every way through the ranges.
        first = T::Word::blur(first as usize, *a) as u32;
        count = T::Word::blur(count as usize, *a) as u32;
    }
    Some(false)
}

const INTERVALS_PER_BLOCK: u32 = table::BLOCK_WORDS as u32 / INTERVAL_WORDS;
