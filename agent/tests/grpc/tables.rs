//! A dataplane that keeps what is committed.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use zonegate::{
    dataplane::{Attachment, CommitError, Counter, Dataplane, Fill, Flow, Stamp},
    draft::Compiled,
    image::Image,
};

/// Tables that outlive the agents which fill them.
#[derive(Clone, Default)]
pub struct Tables(Arc<Mutex<Content>>);

#[derive(Default)]
pub struct Content {
    pub held: Option<(Image, Stamp)>,
    pub commits: u32,
    /// What the next commits fail with.
    pub failure: Option<fn() -> CommitError>,
}

impl Tables {
    pub fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    pub fn image(&self) -> Option<Image> {
        self.content().held.as_ref().map(|(image, _)| image.clone())
    }

    pub fn stamp(&self) -> Option<Stamp> {
        self.content().held.as_ref().map(|(_, stamp)| *stamp)
    }
}

pub fn write_failure() -> CommitError {
    CommitError::Write { table: "zg8_slots", source: io::Error::from(io::ErrorKind::OutOfMemory) }
}

pub fn capacity_failure() -> CommitError {
    CommitError::Capacity { table: "zg8_slots", needed: 9, capacity: 8 }
}

pub fn flow() -> Flow {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Flow {
        protocol: 6,
        source: address("10.0.0.1:40000"),
        destination: address("10.96.0.1:80"),
        translated_source: address("10.0.0.1:40000"),
        translated_destination: address("10.0.0.2:8080"),
        reply: false,
        service: 1,
        backend: 2,
        idle: Duration::from_millis(1500),
        packets: 3,
        bytes: 180,
        handshake: None,
    }
}

impl Dataplane for Tables {
    fn commit(&mut self, compiled: Compiled<'_>, stamp: Stamp) -> Result<Instant, CommitError> {
        let mut content = self.content();
        if let Some(failure) = content.failure {
            return Err(failure());
        }
        content.held = Some((compiled.image.clone(), stamp));
        content.commits += 1;
        Ok(Instant::now())
    }

    fn held(&self) -> Option<(Image, Stamp)> {
        self.content().held.clone()
    }

    fn flows(&self, limit: usize) -> Vec<Flow> {
        vec![flow(); 2500.min(limit)]
    }

    fn counters(&self) -> Vec<Counter> {
        vec![Counter { name: "policy_ingress", drop: true, packets: 7 }]
    }

    fn fill(&self) -> Vec<Fill> {
        vec![Fill { table: "zg8_slots", used: 1, capacity: 8 }]
    }

    fn attachments(&self) -> Vec<Attachment> {
        vec![Attachment { interface: "eth0".into(), hook: "xdp-native" }]
    }
}
