//! The programs at the ends of the benchmarks' wires, and the shortest ones in between.

use abi::{
    next_hop::NextHop,
    wire::{COUNTED_MAP, Counted, HOP_MAP},
};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, XdpMode},
};

use super::{
    error::LoadError,
    generator::{mapping, write},
    object,
};
use crate::maps::Mapping;

/// An object of its own, with its own counts; everything is detached with it.
pub struct WirePrograms {
    ebpf: Ebpf,
    hop: Mapping,
    counted: Mapping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireProgram {
    /// Counts and drops.
    Drop,
    Redirect,
    Tx,
    Reflect,
}

impl WirePrograms {
    /// Loads the object for so many processors.
    pub fn load(processors: u32) -> Result<Self, LoadError> {
        let ebpf = EbpfLoader::new()
            .map_max_entries(COUNTED_MAP, processors)
            .load(object::bench_bytes())
            .map_err(Box::new)?;
        Ok(Self { hop: mapping(&ebpf, HOP_MAP)?, counted: mapping(&ebpf, COUNTED_MAP)?, ebpf })
    }

    /// Where [`WireProgram::Redirect`] sends frames.
    pub fn set_hop(&self, hop: &NextHop) {
        write(&self.hop, 0, hop);
    }

    /// Attaches to an interface of this thread's network namespace, natively.
    pub fn attach(&mut self, program: WireProgram, interface: &str) -> Result<(), LoadError> {
        let name = program.name();
        let Some(Program::Xdp(program)) = self.ebpf.program_mut(name) else {
            return Err(LoadError::MissingProgram(name));
        };
        let failed = |source| LoadError::Program { program: name.to_owned(), source };
        if program.fd().is_err() {
            program.load().map_err(|error| failed(Box::new(error)))?;
        }
        program
            .attach(interface, XdpMode::Driver)
            .map(drop)
            .map_err(|error| failed(Box::new(error)))
    }

    /// Frames that [`WireProgram::Drop`] has seen.
    pub fn counted(&self) -> u64 {
        let words = self.counted.words().len();
        let stride = size_of::<Counted>() / size_of::<u64>();
        (0..words).step_by(stride).map(|first| self.counted.load(first)).sum()
    }
}

impl WireProgram {
    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "wire_drop",
            Self::Redirect => "wire_redirect",
            Self::Tx => "wire_tx",
            Self::Reflect => "wire_reflect",
        }
    }
}
