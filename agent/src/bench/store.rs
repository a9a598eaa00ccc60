//! An agent's parts below its sources, over kernel tables and a saved state of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::BenchError;
use crate::{
    compile::Compiler,
    config::Config,
    loader::{KernelConfig, TableRig, TableSizes},
    refusal::Refusal,
    runtime::Saver,
    store::{Accepted, Answer, Content, Parts, Store},
};

/// A store that acts on its own tables; no interface is touched.
pub struct BenchStore {
    store: Store,
    /// What the kernel charges for the tables.
    pub map_bytes: u64,
}

impl BenchStore {
    pub fn start(directory: &Path, node: &str, tables: TableSizes) -> Result<Self, BenchError> {
        let kernel = KernelConfig { bpffs: pins(), tables, ..KernelConfig::default() };
        let config = Config { kernel, ..Config::default() };
        let (saver, saved) = Saver::open(directory)?;
        let rig = TableRig::open(&config.kernel)?;
        let map_bytes = rig.map_bytes;
        let parts = Parts {
            compiler: Box::new(Compiler::new(node.to_owned(), config.table_limits())),
            node: node.to_owned(),
            limits: config.limits,
            dataplane: Box::new(rig.tables),
            save: Box::new(saver),
        };
        Ok(Self { store: Store::start(parts, saved), map_bytes })
    }

    pub fn apply(&mut self, content: Content) -> Result<Accepted, BenchError> {
        let answer = self.store.apply("bench", 1, content);
        match answer.map_err(|error| refused(error.to_string()))? {
            Answer::Refused(refusals) => Err(BenchError::Refused(refusals)),
            Answer::Accepted(accepted) => Ok(accepted),
        }
    }
}

/// Has `measure` work in a directory that is gone afterwards. Needs root.
pub fn in_directory<M>(
    measure: impl FnOnce(&Path) -> Result<M, BenchError>,
) -> Result<M, BenchError> {
    need_root()?;
    let directory = std::env::temp_dir().join(own_name());
    let measured = measure(&directory);
    fs::remove_dir_all(&directory)?;
    measured
}

pub fn need_root() -> Result<(), BenchError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(BenchError::NotRoot) }
}

/// Where a benchmark's maps are pinned while it runs.
pub fn pins() -> PathBuf {
    Path::new("/sys/fs/bpf").join(own_name())
}

pub fn refused(reason: String) -> BenchError {
    BenchError::Refused(vec![Refusal::general("world", reason)])
}

fn own_name() -> String {
    format!("zg-bench-{}", std::process::id())
}
