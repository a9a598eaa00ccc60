//! The benchmark's prologue programs: what restores a packet before a program is measured.

use std::path::Path;

use abi::bench::{FLOWS_MAP, FRAME, SETUP_MAP, Setup, TAIL_TC_MAP, TAIL_XDP_MAP};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    programs::{Program, ProgramFd, TestRunOptions},
};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    error::LoadError,
    object,
    programs::{program_fd, set_tail_call},
};
use crate::maps::{KernelMaps, Mapping};

/// What kind of program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookType {
    Xdp,
    Tc,
}

/// The loaded prologues. What runs behind one is chosen by its only tail call: the prologue itself
/// is the same code at the same place, whatever is measured.
pub struct Prologue {
    ebpf: Ebpf,
    setup: Mapping,
    flows: Mapping,
}

impl Prologue {
    /// Loads the programs; `directory` holds their maps until it is removed, `flows` is the
    /// longest list of flows.
    pub fn load(directory: &Path, flows: u32) -> Result<Self, LoadError> {
        let mut ebpf = EbpfLoader::new()
            .map_pin_path(SETUP_MAP, directory.join(SETUP_MAP))
            .map_pin_path(FLOWS_MAP, directory.join(FLOWS_MAP))
            .map_max_entries(FLOWS_MAP, flows)
            .load(object::bench_bytes())
            .map_err(Box::new)?;
        for (name, program) in ebpf.programs_mut() {
            let loaded = match program {
                Program::Xdp(program) => program.load(),
                Program::SchedClassifier(program) => program.load(),
                _ => continue,
            };
            loaded.map_err(|source| LoadError::Program {
                program: name.to_owned(),
                source: Box::new(source),
            })?;
        }
        Ok(Self {
            ebpf,
            setup: KernelMaps::array(directory, SETUP_MAP)?,
            flows: KernelMaps::array(directory, FLOWS_MAP)?,
        })
    }

    /// Goes on in `program`, or in an empty one.
    pub fn aim(&mut self, hook: HookType, program: Option<&ProgramFd>) -> Result<(), LoadError> {
        let empty = match program {
            Some(_) => None,
            None => Some(program_fd(&self.ebpf, hook.empty())?),
        };
        let Some(program) = program.or(empty.as_ref()) else { return Ok(()) };
        let map = hook.tail_map();
        set_tail_call(&mut self.ebpf, map, 0, program)
            .map_err(|source| LoadError::TailCall { map, source: Box::new(source) })
    }

    /// Goes on in the program of fixed work, at the hook of XDP.
    pub fn aim_at_calibration(&mut self) -> Result<(), LoadError> {
        let program = program_fd(&self.ebpf, CALIBRATION)?;
        self.aim(HookType::Xdp, Some(&program))
    }

    /// Sets which flows packets are of when `Setup::flows` says how many these are.
    pub fn list_flows(&self, flows: &[u32]) {
        for (index, flow) in flows.iter().enumerate() {
            self.flows.store(index, u64::from(*flow));
        }
    }

    /// Sets what the following packets are.
    pub fn set_up(&self, setup: &Setup) {
        let words: [u64; size_of::<Setup>() / size_of::<u64>()] =
            FromBytes::read_from_bytes(setup.as_bytes()).unwrap_or_default();
        for (index, word) in words.into_iter().enumerate() {
            self.setup.store(index, word);
        }
    }

    /// Where the programs have got to: see [`Setup::next`].
    pub fn next(&self) -> u64 {
        self.setup.load(std::mem::offset_of!(Setup, next) / size_of::<u64>())
    }

    /// Runs `repeat` packets on this thread's processor.
    pub fn run(&self, hook: HookType, repeat: u32) -> Result<(), LoadError> {
        let name = hook.prologue();
        let frame = [0; FRAME];
        let options = TestRunOptions { data_in: Some(&frame), repeat, ..TestRunOptions::new() };
        let program = self.ebpf.program(name).ok_or(LoadError::MissingProgram(name))?;
        let result = match program {
            Program::Xdp(program) => program.test_run(options),
            Program::SchedClassifier(program) => program.test_run(options),
            _ => return Err(LoadError::MissingProgram(name)),
        };
        result
            .map(drop)
            .map_err(|source| LoadError::TestRun { program: name, source: Box::new(source) })
    }
}

const CALIBRATION: &str = "bench_calibrate_xdp";

impl HookType {
    const fn prologue(self) -> &'static str {
        match self {
            Self::Xdp => "bench_xdp",
            Self::Tc => "bench_tc",
        }
    }

    const fn empty(self) -> &'static str {
        match self {
            Self::Xdp => "bench_empty_xdp",
            Self::Tc => "bench_empty_tc",
        }
    }

    const fn tail_map(self) -> &'static str {
        match self {
            Self::Xdp => TAIL_XDP_MAP,
            Self::Tc => TAIL_TC_MAP,
        }
    }
}
