//! The packet generator's programs, run on live frames.

use abi::generate::{
    PLAN_MAP, POSITIONS_MAP, Plan, Position, RECORDED_MAP, Recorded, TEMPLATES_MAP, Template,
};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::Map,
    programs::{Program, TestRunAttrs, TestRunOptions},
};
use libbpf_rs::MapHandle;
use zerocopy::{Immutable, IntoBytes};

use super::{error::LoadError, object};
use crate::maps::Mapping;

/// The loaded programs and what they are told; nothing is pinned or attached.
pub struct Generator {
    ebpf: Ebpf,
    plan: Mapping,
    templates: Mapping,
    positions: Mapping,
    recorded: Mapping,
}

/// Which of the generator's programs makes frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Frames of the plan's flows.
    Templates,
    /// Recorded frames.
    Recorded,
}

impl Generator {
    /// Loads the programs for so many processors and recorded frames.
    pub fn load(processors: u32, recorded: u32) -> Result<Self, LoadError> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(POSITIONS_MAP, processors)
            .map_max_entries(RECORDED_MAP, recorded.max(1))
            .load(object::bench_bytes())
            .map_err(Box::new)?;
        for source in [Source::Templates, Source::Recorded] {
            let name = source.program();
            let Some(Program::Xdp(program)) = ebpf.program_mut(name) else {
                return Err(LoadError::MissingProgram(name));
            };
            program.load().map_err(|source| LoadError::Program {
                program: name.to_owned(),
                source: Box::new(source),
            })?;
        }
        Ok(Self {
            plan: mapping(&ebpf, PLAN_MAP)?,
            templates: mapping(&ebpf, TEMPLATES_MAP)?,
            positions: mapping(&ebpf, POSITIONS_MAP)?,
            recorded: mapping(&ebpf, RECORDED_MAP)?,
            ebpf,
        })
    }

    pub fn set_plan(&self, plan: &Plan) {
        write(&self.plan, 0, plan);
    }

    pub fn set_template(&self, index: u32, template: &Template) {
        write(&self.templates, index, template);
    }

    pub fn set_recorded(&self, index: u32, recorded: &Recorded) {
        write(&self.recorded, index, recorded);
    }

    /// Sets where a processor begins, and its step.
    pub fn set_position(&self, processor: u32, next: u64, step: u64) {
        write(&self.positions, processor, &Position { next, step, ..Position::default() });
    }

    /// How many frames a processor has handed to the interface since its position was set.
    pub fn made(&self, processor: u32) -> u64 {
        let first = processor as usize * size_of::<Position>() / size_of::<u64>();
        self.positions.load(first + std::mem::offset_of!(Position, made) / size_of::<u64>())
    }

    /// Has this thread's processor send frames, at most `batch` at a time. `frame` is as long as the
    /// longest of them and has their payload.
    pub fn send(
        &self,
        source: Source,
        frame: &[u8],
        frames: u32,
        batch: u32,
    ) -> Result<(), LoadError> {
        let name = source.program();
        let Some(Program::Xdp(program)) = self.ebpf.program(name) else {
            return Err(LoadError::MissingProgram(name));
        };
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(batch),
            ..TestRunOptions::new()
        };
        program
            .test_run(options)
            .map(drop)
            .map_err(|source| LoadError::TestRun { program: name, source: Box::new(source) })
    }
}

impl Source {
    const fn program(self) -> &'static str {
        match self {
            Self::Templates => "bench_generate",
            Self::Recorded => "bench_replay",
        }
    }
}

/// The elements of an array.
pub(super) fn mapping(ebpf: &Ebpf, name: &'static str) -> Result<Mapping, LoadError> {
    let Some(Map::Array(map)) = ebpf.map(name) else { return Err(LoadError::MissingMap(name)) };
    let info =
        map.info().map_err(|source| LoadError::MapInfo { map: name, source: Box::new(source) })?;
    let handle = MapHandle::from_map_id(info.id())
        .map_err(|source| LoadError::MapHandle { map: name, source })?;
    Ok(Mapping::new(name, &handle)?)
}

/// Writes an element of an array.
pub(super) fn write<T: IntoBytes + Immutable>(mapping: &Mapping, index: u32, value: &T) {
    let first = index as usize * size_of::<T>() / size_of::<u64>();
    for (offset, word) in value.as_bytes().chunks_exact(size_of::<u64>()).enumerate() {
        let mut bytes = [0; size_of::<u64>()];
        bytes.copy_from_slice(word);
        mapping.store(first + offset, u64::from_ne_bytes(bytes));
    }
}
