//! Putting programs on interfaces, without a moment in which none is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io, mem,
    path::{Path, PathBuf},
};

use aya::{
    programs::{
        LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        loaded_programs,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions},
    },
    util::KernelVersion,
};
use libbpf_rs::libbpf_sys;

use super::{
    config::KernelConfig,
    error::LoadError,
    pins::{FILTER_HANDLE, FILTER_PRIORITY, Hook, Pin},
    programs::ProgramSet,
    socket,
};
use crate::dataplane::Attachment;

/// What an interface is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Uplink,
    Workload,
}

/// Attaches this agent's programs and remembers where they are.
pub struct Attacher {
    set: ProgramSet,
    links: PathBuf,
    generic: bool,
    tcx: bool,
    /// Whose sockets are ours, once they are.
    cgroup: Option<PathBuf>,
    /// The interface's index and how its program is attached, of all that run this agent's set.
    attached: BTreeMap<Pin, (u32, &'static str)>,
    /// Where nothing of ours was before.
    new: BTreeSet<Pin>,
}

impl Attacher {
    pub fn new(set: ProgramSet, config: &KernelConfig) -> Self {
        Self {
            set,
            links: config.links(),
            generic: config.xdp_generic,
            tcx: !config.clsact && has_tcx(),
            cgroup: None,
            attached: BTreeMap::new(),
            new: BTreeSet::new(),
        }
    }

    pub(super) fn ebpf_mut(&mut self) -> &mut aya::Ebpf {
        &mut self.set.ebpf
    }

    /// Attaches the programs at sockets of a cgroup; does nothing where its path is empty.
    pub fn attach_sockets(&mut self, cgroup: &Path) -> Result<(), LoadError> {
        if cgroup.as_os_str().is_empty() {
            return Ok(());
        }
        self.set.attach_sockets(cgroup)?;
        self.cgroup = Some(cgroup.to_owned());
        Ok(())
    }

    /// Attaches all programs of a role to an interface; those that are attached already stay. Its
    /// MTU may be why one cannot be.
    pub fn attach(
        &mut self,
        role: Role,
        interface: &str,
        index: u32,
        mtu: u32,
    ) -> Result<(), LoadError> {
        for (hook, program) in self.hooks(role) {
            let pin = Pin { interface: interface.to_owned(), hook };
            self.follow_rename(&pin, index)?;
            if self.attached.get(&pin).is_some_and(|(attached, _)| *attached == index) {
                continue;
            }
            let is_new = !pin.is_attached(&self.links, index);
            let how = self.attach_one(&pin, index, mtu, program)?;
            if is_new {
                self.new.insert(pin.clone());
            }
            self.attached.insert(pin, (index, how));
        }
        Ok(())
    }

    /// Gives the entry of an interface that has another name now the new one: its program goes on.
    fn follow_rename(&mut self, pin: &Pin, index: u32) -> Result<(), LoadError> {
        let is_earlier = |earlier: &&Pin| {
            earlier.hook == pin.hook
                && earlier.interface != pin.interface
                && earlier.attached_to(&self.links).is_none_or(|attached| attached == index)
        };
        let mut at_index = self.attached.iter().filter(|(_, (attached, _))| *attached == index);
        let Some((earlier, how)) = at_index.find(|(earlier, _)| is_earlier(earlier)) else {
            return Ok(());
        };
        let (earlier, how, path) = (earlier.clone(), *how, pin.path(&self.links));
        // What stands for an interface that had the name before is not to be lost sight of.
        if path.exists() {
            return Ok(());
        }
        fs::rename(earlier.path(&self.links), &path)
            .map_err(|source| LoadError::Directory { path, source })?;
        tracing::info!(from = earlier.interface, to = pin.interface, "an interface was renamed");
        self.attached.remove(&earlier);
        self.attached.insert(pin.clone(), how);
        if self.new.remove(&earlier) {
            self.new.insert(pin.clone());
        }
        Ok(())
    }

    /// Detaches whatever is attached but not `wanted`, also by earlier agents. `wanted` lists
    /// the interfaces that exist.
    pub fn retain(&mut self, wanted: &BTreeMap<String, (Role, u32)>) -> Result<(), LoadError> {
        for pin in Pin::list(&self.links)? {
            let keep = wanted.get(&pin.interface).is_some_and(|(role, index)| {
                self.hooks(*role).iter().any(|(hook, _)| *hook == pin.hook)
                    && pin.attached_to(&self.links).is_none_or(|attached| attached == *index)
            });
            if !keep {
                self.attached.remove(&pin);
                pin.remove(&self.links)?;
                tracing::info!(interface = pin.interface, hook = pin.hook.name(), "detached");
            }
        }
        Ok(())
    }

    /// Detaches what this agent has attached where nothing of ours was before.
    pub fn withdraw(&mut self) {
        self.cgroup = None;
        self.set.detach_sockets();
        for pin in mem::take(&mut self.new) {
            self.attached.remove(&pin);
            match pin.remove(&self.links) {
                Ok(()) => {
                    tracing::info!(interface = pin.interface, hook = pin.hook.name(), "detached");
                }
                Err(error) => tracing::error!(%error, "cannot take a program back"),
            }
        }
    }

    /// Removes the programs of earlier agents, which no link may run any more.
    pub fn forget_earlier_sets(&self) -> Result<(), LoadError> {
        self.set.remove_others()
    }

    pub fn attachments(&self) -> Vec<Attachment> {
        let attached = self.attached.iter();
        let sockets = self.cgroup.iter().map(|path| (path.display().to_string(), socket::HOOK));
        attached
            .map(|(pin, (_, hook))| (pin.interface.clone(), *hook))
            .chain(sockets)
            .map(|(interface, hook)| Attachment { interface, hook })
            .collect()
    }

    /// Where the programs of a role go.
    fn hooks(&self, role: Role) -> Vec<(Hook, &'static str)> {
        let (ingress, egress) = if self.tcx {
            (Hook::TcxIngress, Hook::TcxEgress)
        } else {
            (Hook::ClsactIngress, Hook::ClsactEgress)
        };
        match role {
            // XDP comes last: it hands over to the one, and the other translates its answers.
            Role::Uplink => vec![
                (egress, "uplink_egress"),
                (ingress, "uplink_handover"),
                (Hook::Xdp, "uplink_ingress"),
            ],
            Role::Workload => vec![(egress, "workload_egress"), (ingress, "workload_ingress")],
        }
    }

    /// Replaces the program of the pinned link in one step, or attaches and pins a new link.
    /// Says how it is attached, in the words of [`Attachment::hook`].
    fn attach_one(
        &mut self,
        pin: &Pin,
        index: u32,
        mtu: u32,
        program: &'static str,
    ) -> Result<&'static str, LoadError> {
        let path = pin.path(&self.links);
        let mut old = pin.attached_to(&self.links);
        if pin.hook == Hook::Xdp && old == Some(index) && !self.is_mode_current(index) {
            tracing::warn!(interface = pin.interface, "the XDP mode changes: attaching anew");
            old = Some(0);
        }
        if old.is_some_and(|old| old != index) {
            // Its interface is gone or has another name now.
            pin.remove(&self.links)?;
            old = None;
        }
        if pin.hook == Hook::Xdp && old.is_none() {
            refuse_foreign(&pin.interface, index)?;
        }
        let generic = self.generic;
        let too_large = pin.hook == Hook::Xdp && !generic && mtu > NATIVE_MTU;
        let failed = |reason: String| LoadError::Attach {
            program,
            interface: pin.interface.clone(),
            hook: pin.hook.name(),
            reason: if too_large {
                format!(
                    "{reason}; its MTU is {mtu}, and drivers give native XDP no frames above a \
                     page, an MTU of about {NATIVE_MTU} (xdp_generic has no such limit)"
                )
            } else {
                reason
            },
        };
        let loaded =
            self.set.ebpf.program_mut(program).ok_or(LoadError::MissingProgram(program))?;
        let result = match pin.hook.direction() {
            None => attach_xdp(
                loaded.try_into().map_err(|error| failed(describe(&error)))?,
                index,
                generic,
                old.is_some().then_some(&path),
            ),
            Some(direction) => {
                let loaded = loaded.try_into().map_err(|error| failed(describe(&error)))?;
                if pin.hook.is_clsact() {
                    attach_filter(loaded, &pin.interface, direction).map(|()| None)
                } else {
                    let replaced = old.is_some().then_some(&path);
                    attach_tcx(loaded, &pin.interface, direction, replaced)
                }
            }
        };
        let new_link = result.map_err(failed)?;
        if let Some(link) = new_link {
            link.pin(&path).map_err(|error| failed(describe(&error)))?;
        } else if pin.hook.is_clsact() && !path.exists() {
            fs::create_dir(&path).map_err(|error| failed(describe(&error)))?;
        }
        let replaced = old.is_some();
        tracing::info!(interface = pin.interface, hook = pin.hook.name(), replaced, "attached");
        Ok(match pin.hook {
            Hook::Xdp if generic => "xdp-generic",
            Hook::Xdp => "xdp-native",
            other => other.name(),
        })
    }

    fn is_mode_current(&self, index: u32) -> bool {
        let mode =
            if self.generic { libbpf_sys::XDP_ATTACHED_SKB } else { libbpf_sys::XDP_ATTACHED_DRV };
        query_xdp(index).is_ok_and(|found| u32::from(found.attach_mode) == mode)
    }
}

/// The largest MTU that most drivers take for programs that see a frame as one buffer: a page,
/// less the headroom and what the kernel keeps at the end. Each has its own limit.
const NATIVE_MTU: u32 = 3498;

/// tcx links came with Linux 6.6.
fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(6, 6, 0))
}

/// Returns the link to pin, or `None` if a pinned one was updated.
fn attach_xdp(
    program: &mut Xdp,
    index: u32,
    generic: bool,
    pinned: Option<&PathBuf>,
) -> Result<Option<FdLink>, String> {
    if let Some(path) = pinned {
        let link = PinnedLink::from_pin(path).map_err(|error| describe(&error))?;
        let link = FdLink::from(link).try_into().map_err(|error| describe(&error))?;
        let updated = program.attach_to_link(link).and_then(|id| program.take_link(id));
        // Dropping the link only closes it: it is pinned.
        return updated.map(|_| None).map_err(|error| describe(&error));
    }
    let mode = if generic { XdpMode::Skb } else { XdpMode::Driver };
    let id = program.attach_to_if_index(index, mode).map_err(|error| describe(&error))?;
    let link = program.take_link(id).map_err(|error| describe(&error))?;
    FdLink::try_from(link).map(Some).map_err(|error| describe(&error))
}

fn attach_tcx(
    program: &mut SchedClassifier,
    interface: &str,
    direction: TcAttachType,
    pinned: Option<&PathBuf>,
) -> Result<Option<FdLink>, String> {
    if let Some(path) = pinned {
        let link = PinnedLink::from_pin(path).map_err(|error| describe(&error))?;
        let link = FdLink::from(link).try_into().map_err(|error| describe(&error))?;
        let updated = program.attach_to_link(link).and_then(|id| program.take_link(id));
        return updated.map(|_| None).map_err(|error| describe(&error));
    }
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(interface, direction, first)
        .map_err(|error| describe(&error))?;
    let link = program.take_link(id).map_err(|error| describe(&error))?;
    FdLink::try_from(link).map(Some).map_err(|error| describe(&error))
}

/// Replaces our filter, or adds it. aya's link would remove it when dropped, so it is forgotten.
fn attach_filter(
    program: &mut SchedClassifier,
    interface: &str,
    direction: TcAttachType,
) -> Result<(), String> {
    // It is there already on all but the first attachment.
    let _ = tc::qdisc_add_clsact(interface);
    let (priority, handle) = (FILTER_PRIORITY, FILTER_HANDLE);
    let ours = SchedClassifierLink::attached(interface, direction, priority, handle, None)
        .map_err(|error| describe(&error))?;
    let id = program.attach_to_link(ours).or_else(|_| {
        let options = NlOptions { priority, handle, classid: None };
        program.attach_with_options(interface, direction, TcAttachOptions::Netlink(options))
    });
    let link = id.and_then(|id| program.take_link(id)).map_err(|error| describe(&error))?;
    mem::forget(link);
    Ok(())
}

/// An XDP program that is not pinned here is somebody else's.
fn refuse_foreign(interface: &str, index: u32) -> Result<(), LoadError> {
    let attached = query_xdp(index).map_err(|source| LoadError::Attach {
        program: "uplink_ingress",
        interface: interface.to_owned(),
        hook: Hook::Xdp.name(),
        reason: source.to_string(),
    })?;
    let ids = [attached.drv_prog_id, attached.skb_prog_id, attached.hw_prog_id, attached.prog_id];
    let Some(id) = ids.into_iter().find(|id| *id != 0) else { return Ok(()) };
    let program = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .unwrap_or_default();
    Err(LoadError::ForeignXdp { interface: interface.to_owned(), program, id })
}

/// Whether an interface takes what XDP redirects from others. A veth does as long as its other end
/// polls; some drivers only while they have a program themselves. Kernels before 6.3 do not tell.
pub fn takes_frames(index: u32) -> bool {
    /// `NETDEV_XDP_ACT_NDO_XMIT` of the kernel's `netdev` family.
    const NDO_XMIT: u64 = 1 << 2;
    query_xdp(index).is_ok_and(|found| found.feature_flags & NDO_XMIT != 0)
}

fn query_xdp(index: u32) -> io::Result<libbpf_sys::bpf_xdp_query_opts> {
    let mut options = libbpf_sys::bpf_xdp_query_opts {
        sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as _,
        ..Default::default()
    };
    // SAFETY: `options` is valid for writes and says its own size.
    let result = unsafe { libbpf_sys::bpf_xdp_query(index.cast_signed(), 0, &raw mut options) };
    if result == 0 { Ok(options) } else { Err(io::Error::from_raw_os_error(-result)) }
}

/// An error with its causes: aya's first line alone rarely says why.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
