//! What the logging variant of the programs has to say.

use std::time::Duration;

use aya_log::EbpfLogger;

use super::{attach::Attacher, error::LoadError};

/// How often the programs' ring is emptied.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Reads the programs' log records into the agent's own log.
pub struct ProgramLog(EbpfLogger<&'static dyn log::Log>);

impl ProgramLog {
    pub fn new(attacher: &mut Attacher) -> Result<Self, LoadError> {
        let logger = EbpfLogger::init(attacher.ebpf_mut());
        logger.map(Self).map_err(|error| LoadError::Log(error.to_string()))
    }

    pub fn flush(&mut self) {
        self.0.flush();
    }
}
