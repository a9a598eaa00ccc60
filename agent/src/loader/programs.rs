//! One set of programs: loaded afresh by every agent, around the maps that are there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use abi::tail::{TC_MAP, TC_PROGRAMS, XDP_MAP, XDP_PROGRAMS};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapError, ProgramArray},
    programs::{Program, ProgramFd},
};

use super::{config::KernelConfig, error::LoadError, layout, object, socket};
use crate::maps::GracePeriod;

/// Programs with their own tail-call maps, which are pinned so that the kernel does not empty
/// them when the agent ends.
pub struct ProgramSet {
    pub ebpf: Ebpf,
    directory: PathBuf,
}

impl ProgramSet {
    /// Loads all programs, and makes those maps that are not pinned yet.
    pub fn load(config: &KernelConfig) -> Result<Self, LoadError> {
        let sets = config.sets();
        let number = existing(&sets)?.into_iter().max().unwrap_or(0) + 1;
        let directory = sets.join(number.to_string());
        fs::create_dir(&directory)
            .map_err(|source| LoadError::Directory { path: directory.clone(), source })?;
        load(config, &directory)
            .map(|ebpf| Self { ebpf, directory: directory.clone() })
            .inspect_err(|_| {
                // What remains of it has no user, and the next agent removes it.
                let _ = fs::remove_dir_all(&directory);
            })
    }

    /// A loaded program.
    pub fn fd(&self, program: &'static str) -> Result<ProgramFd, LoadError> {
        program_fd(&self.ebpf, program)
    }

    /// Attaches the programs at sockets to a cgroup.
    pub(super) fn attach_sockets(&mut self, cgroup: &Path) -> Result<(), LoadError> {
        socket::attach(&mut self.ebpf, cgroup, &self.directory)
    }

    /// Takes them back.
    pub(super) fn detach_sockets(&self) {
        socket::detach(&self.directory);
    }

    /// Removes the sets of earlier agents; to be called when no link runs their programs. Packets
    /// may still be in them: the kernel empties a tail-call map when its pin goes, and those would
    /// be dropped for want of their slow path.
    pub fn remove_others(&self) -> Result<(), LoadError> {
        let Some(sets) = self.directory.parent() else { return Ok(()) };
        let mut others = existing(sets)?;
        others.retain(|number| sets.join(number.to_string()) != self.directory);
        if others.is_empty() {
            return Ok(());
        }
        GracePeriod::new()?.wait().map_err(LoadError::GracePeriod)?;
        others.into_iter().map(|number| sets.join(number.to_string())).try_for_each(|path| {
            socket::detach(&path);
            fs::remove_dir_all(&path).map_err(|source| LoadError::Directory { path, source })
        })
    }
}

/// The numbers of the sets in a directory.
pub(super) fn existing(sets: &Path) -> Result<Vec<u32>, LoadError> {
    let error = |source| LoadError::Directory { path: sets.to_owned(), source };
    let entries = fs::read_dir(sets).map_err(error)?.collect::<io::Result<Vec<_>>>();
    let names = entries.map_err(error)?.into_iter().map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

fn load(config: &KernelConfig, set: &Path) -> Result<Ebpf, LoadError> {
    let maps = config.maps();
    let netns = socket::netns_cookie()?;
    let mut loader = EbpfLoader::new();
    loader.override_global(socket::NETNS_GLOBAL, &netns, true);
    for shape in layout::shapes(config) {
        loader.map_pin_path(shape.name, maps.join(shape.name));
        loader.map_max_entries(shape.name, shape.max_entries);
    }
    for map in [XDP_MAP, TC_MAP] {
        loader.map_pin_path(map, set.join(map));
    }
    let mut ebpf = loader.load(object::bytes(config.log)).map_err(Box::new)?;
    for (name, program) in ebpf.programs_mut() {
        let loaded = match program {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            _ => continue,
        };
        loaded.map_err(|source| LoadError::Program {
            program: name.to_owned(),
            source: Box::new(source),
        })?;
    }
    for (map, programs) in [(XDP_MAP, &XDP_PROGRAMS[..]), (TC_MAP, &TC_PROGRAMS)] {
        for (slot, program) in (0..).zip(programs) {
            let fd = program_fd(&ebpf, program)?;
            set_tail_call(&mut ebpf, map, slot, &fd)
                .map_err(|source| LoadError::TailCall { map, source: Box::new(source) })?;
        }
    }
    Ok(ebpf)
}

pub(super) fn program_fd(ebpf: &Ebpf, name: &'static str) -> Result<ProgramFd, LoadError> {
    let error = |source| LoadError::Program { program: name.to_owned(), source: Box::new(source) };
    let program = ebpf.program(name).ok_or(LoadError::MissingProgram(name))?;
    program.fd().map_err(error)?.try_clone().map_err(|source| error(source.into()))
}

pub(super) fn set_tail_call(
    ebpf: &mut Ebpf,
    map: &str,
    slot: u32,
    program: &ProgramFd,
) -> Result<(), MapError> {
    let map = ebpf.map_mut(map).ok_or(MapError::ElementNotFound)?;
    ProgramArray::try_from(map)?.set(slot, program, 0)
}
