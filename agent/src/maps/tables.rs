//! The dataplane in the kernel.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use abi::{control::Control, record::Endpoint, table::Table};

use super::{
    backing::Backing, commit::Tables, counters::Counters, flows::FlowTables, jiffies::Jiffies,
    kernel::KernelMaps, keyed::Keyed, next_hops::NextHops,
};
use crate::{
    dataplane::{
        Attachment, CommitError, Conversation, Counter, Counts, Dataplane, Fill, Flow, Stamp,
    },
    draft::Compiled,
    image::Image,
};

/// Pinned maps, and who has to hear of a commit.
pub struct KernelTables {
    tables: Tables<KernelMaps>,
    next_hops: NextHops,
    flows: Arc<FlowTables>,
    counters: Counters,
    jiffies: Arc<Jiffies>,
    follower: Box<dyn Follower>,
    attached: Arc<Mutex<Vec<Attachment>>>,
    /// Of the services, in the image that was committed last.
    epoch: Option<u32>,
}

/// Keeps ports and next hops as the last image wants them.
pub trait Follower: Send {
    /// Comes before a commit: returns when the ports that `image` adds are attached, as far as
    /// their interfaces exist, so that a workload's packets are judged from the moment at which
    /// the tables know it.
    fn prepare(&self, image: &Image);

    /// Comes after a commit that worked: ports that `image` lacks may be detached now.
    fn follow(&self, image: &Image);

    /// Comes after a commit that live flows are to be judged again for: some backend may not serve
    /// any more.
    fn look_again(&self);
}

impl KernelTables {
    pub fn new(
        tables: Tables<KernelMaps>,
        next_hops: NextHops,
        flows: Arc<FlowTables>,
        counters: Counters,
        jiffies: Arc<Jiffies>,
        follower: Box<dyn Follower>,
        attached: Arc<Mutex<Vec<Attachment>>>,
    ) -> Self {
        Self { tables, next_hops, flows, counters, jiffies, follower, attached, epoch: None }
    }

    /// The control record as packets see it.
    pub fn control(&self) -> Control {
        self.tables.backing().control()
    }
}

impl Dataplane for KernelTables {
    fn commit(&mut self, compiled: Compiled<'_>, stamp: Stamp) -> Result<Instant, CommitError> {
        let Compiled { image, changes } = compiled;
        let needed = image.next_hops.last_key_value().map_or(0, |(id, _)| *id as usize + 1);
        let capacity = self.next_hops.capacity();
        if needed > capacity {
            return Err(CommitError::Capacity { table: NextHops::NAME, needed, capacity });
        }
        let concerned = changes.is_none_or(|it| !it.ports.is_empty() || !it.next_hops.is_empty());
        if concerned {
            self.follower.prepare(image);
        }
        let visible = self.tables.commit(compiled, stamp)?;
        if concerned {
            self.follower.follow(image);
        }
        let Endpoint { epoch, .. } = image.record(Table::Endpoints, 0);
        if self.epoch.replace(epoch) != Some(epoch) {
            self.follower.look_again();
        }
        Ok(visible)
    }

    fn held(&self) -> Option<(Image, Stamp)> {
        self.tables.held()
    }

    fn flows(&self, limit: usize) -> Vec<Flow> {
        match self.jiffies.now() {
            Ok(now) => self.flows.list(limit, now, &self.jiffies),
            Err(error) => {
                tracing::error!(%error, "cannot read the kernel's clock");
                Vec::new()
            }
        }
    }

    fn take_carried(&self) -> HashMap<Conversation, Counts> {
        self.flows.accounts.take()
    }

    fn counters(&self) -> Vec<Counter> {
        self.counters.read().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read the counters");
            Vec::new()
        })
    }

    fn fill(&self) -> Vec<Fill> {
        let side = Control::side(self.control().generation);
        let backing = self.tables.backing();
        let words = Table::ALL.into_iter().map(|table| Fill {
            table: table.map_name(),
            used: self.tables.used(table, side) as u64,
            capacity: backing.words(table) as u64,
        });
        let entries = Keyed::ALL.into_iter().map(|keyed| Fill {
            table: keyed.map_name(),
            used: self.tables.side_len(keyed, side).map_or(0, |entries| entries as u64),
            capacity: backing.entries_capacity(keyed) as u64 / 2,
        });
        words.chain(entries).chain(self.flows.fill()).collect()
    }

    fn attachments(&self) -> Vec<Attachment> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
