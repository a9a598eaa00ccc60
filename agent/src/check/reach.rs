//! What one end lets another do: port sets, read from the compiled tables.

use std::fmt;

use abi::{
    record::{
        PAGE_ALL, PAGE_FIRST, PAGE_NONE, PAGE_WORDS, PORT_SET_ALL, PORT_SET_NONE, PortSet,
        ROW_ALLOW,
    },
    table::Table,
};

use crate::image::Image;

/// The ports of one protocol as a bitmap, shared words being rarely worth the trouble.
type Bits = Box<[u64; PAGE_WORDS as usize]>;

/// Everything that may be opened towards an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// TCP, UDP, SCTP.
    protocols: [Bits; 3],
    /// ICMP and the rest.
    others: bool,
}

const NAMES: [&str; 3] = ["TCP", "UDP", "SCTP"];

impl Reach {
    pub fn all() -> Self {
        Self { protocols: std::array::from_fn(|_| bits(u64::MAX)), others: true }
    }

    fn none() -> Self {
        Self { protocols: std::array::from_fn(|_| bits(0)), others: false }
    }

    /// What a row of the tables grants to a class.
    pub fn of_row(image: &Image, row: u32, class: u32) -> Self {
        if row == ROW_ALLOW {
            return Self::all();
        }
        let ids = image.word(Table::Rows, (row + class / 4) as usize);
        match (ids >> (class % 4 * 16)) as u16 {
            PORT_SET_NONE => Self::none(),
            PORT_SET_ALL => Self::all(),
            id => {
                let set = PortSet(image.word(Table::PortSets, id.into()));
                let protocols = [set.tcp(), set.udp(), set.sctp()];
                Self {
                    protocols: protocols.map(|number| page(image, number)),
                    others: set.others(),
                }
            }
        }
    }

    /// What both allow.
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (mine, theirs) in both.protocols.iter_mut().zip(&other.protocols) {
            for (word, mask) in mine.iter_mut().zip(theirs.iter()) {
                *word &= mask;
            }
        }
        both.others &= other.others;
        both
    }
}

fn bits(word: u64) -> Bits {
    Box::new([word; PAGE_WORDS as usize])
}

fn page(image: &Image, number: u16) -> Bits {
    match number {
        PAGE_NONE => bits(0),
        PAGE_ALL => bits(u64::MAX),
        _ => {
            let start = (number - PAGE_FIRST) as usize * PAGE_WORDS as usize;
            Box::new(std::array::from_fn(|word| image.word(Table::Pages, start + word)))
        }
    }
}

/// `all`, `-` for nothing, or protocols with their ports: `TCP 80,443,8000-8999; UDP; ICMP`.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("all");
        }
        let mut parts = Vec::new();
        for (name, ports) in NAMES.iter().zip(&self.protocols) {
            match &intervals(ports)[..] {
                [] => {}
                [(0, u16::MAX)] => parts.push((*name).to_owned()),
                some => {
                    let ports: Vec<String> = some.iter().map(|range| interval(*range)).collect();
                    parts.push(format!("{name} {}", ports.join(",")));
                }
            }
        }
        if self.others {
            parts.push("ICMP".to_owned());
        }
        if parts.is_empty() { f.write_str("-") } else { f.write_str(&parts.join("; ")) }
    }
}

fn intervals(ports: &Bits) -> Vec<(u16, u16)> {
    let mut intervals: Vec<(u16, u16)> = Vec::new();
    for port in 0..=u16::MAX {
        if ports[usize::from(port / 64)] >> (port % 64) & 1 == 0 {
            continue;
        }
        match intervals.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => intervals.push((port, port)),
        }
    }
    intervals
}

fn interval((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_people_write_them() {
        assert_eq!(Reach::all().to_string(), "all");
        assert_eq!(Reach::none().to_string(), "-");
        let mut some = Reach::none();
        for port in [80, 443, 8000, 8001, 8002] {
            some.protocols[0][port / 64] |= 1 << (port % 64);
        }
        some.protocols[1] = bits(u64::MAX);
        assert_eq!(some.to_string(), "TCP 80,443,8000-8002; UDP");
        some.others = true;
        assert_eq!(some.and(&Reach::all()), some);
        assert_eq!(some.and(&Reach::none()).to_string(), "-");
    }
}
