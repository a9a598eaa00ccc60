//! What is attached, as the pin directory tells it: one entry per interface and hook.
//!
//! XDP and tcx links are pinned themselves. A clsact filter is no BPF object; a directory of the
//! same kind of name says that it is there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    TcAttachType,
    tc::{SchedClassifierLink, TcHandle},
};
use libbpf_rs::{Link, query::LinkTypeInfo};

use super::error::LoadError;

/// Where on an interface a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    Xdp,
    TcxIngress,
    TcxEgress,
    ClsactIngress,
    ClsactEgress,
}

impl Hook {
    const ALL: [Self; 5] =
        [Self::Xdp, Self::TcxIngress, Self::TcxEgress, Self::ClsactIngress, Self::ClsactEgress];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::TcxIngress => "tcx-ingress",
            Self::TcxEgress => "tcx-egress",
            Self::ClsactIngress => "clsact-ingress",
            Self::ClsactEgress => "clsact-egress",
        }
    }

    /// The tc direction of a hook that is one of tc's.
    pub const fn direction(self) -> Option<TcAttachType> {
        match self {
            Self::Xdp => None,
            Self::TcxIngress | Self::ClsactIngress => Some(TcAttachType::Ingress),
            Self::TcxEgress | Self::ClsactEgress => Some(TcAttachType::Egress),
        }
    }

    pub const fn is_clsact(self) -> bool {
        matches!(self, Self::ClsactIngress | Self::ClsactEgress)
    }
}

/// Where our clsact filters sit, so that the next agent finds and replaces them.
pub const FILTER_PRIORITY: u16 = 90;
pub const FILTER_HANDLE: TcHandle = TcHandle::new(0, 0x5a47);

/// An entry of the pin directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    pub interface: String,
    pub hook: Hook,
}

impl Pin {
    pub fn path(&self, links: &Path) -> PathBuf {
        links.join(format!("{}-{}", escape(&self.interface), self.hook.name()))
    }

    fn parse(name: &str) -> Option<Self> {
        Hook::ALL.into_iter().find_map(|hook| {
            let interface = name.strip_suffix(hook.name())?.strip_suffix('-')?;
            Some(Self { interface: unescape(interface), hook })
        })
    }

    /// All entries of a directory; none if it does not exist.
    pub fn list(links: &Path) -> Result<Vec<Self>, LoadError> {
        let error = |source| LoadError::Directory { path: links.to_owned(), source };
        let entries = match fs::read_dir(links) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(error)?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(other) => return Err(error(other)),
        };
        Ok(entries.iter().filter_map(|entry| Self::parse(entry.file_name().to_str()?)).collect())
    }

    /// Whether something of ours is attached here to the interface of this index.
    pub fn is_attached(&self, links: &Path, index: u32) -> bool {
        if self.hook.is_clsact() {
            self.path(links).exists()
        } else {
            self.attached_to(links) == Some(index)
        }
    }

    /// The interface that a pinned link is attached to now: 0 if it is gone, `None` if there is
    /// no such link.
    pub fn attached_to(&self, links: &Path) -> Option<u32> {
        if self.hook.is_clsact() {
            return None;
        }
        match Link::open(self.path(links)).ok()?.info().ok()?.info {
            LinkTypeInfo::Xdp(xdp) => Some(xdp.ifindex),
            LinkTypeInfo::Tcx(tcx) => Some(tcx.ifindex),
            _ => None,
        }
    }

    /// Detaches what the entry stands for and removes the entry.
    pub fn remove(&self, links: &Path) -> Result<(), LoadError> {
        let path = self.path(links);
        let removed = match self.hook.direction() {
            Some(direction) if self.hook.is_clsact() => {
                detach_filter(&self.interface, direction);
                fs::remove_dir(&path)
            }
            _ => {
                // A link whose interface is gone is detached already, and says so.
                if let Ok(link) = Link::open(&path) {
                    let _ = link.detach();
                }
                fs::remove_file(&path)
            }
        };
        removed.map_err(|source| LoadError::Detach { path, source })
    }
}

/// Removes our filter; one whose interface is gone went with it.
fn detach_filter(interface: &str, direction: TcAttachType) {
    let (priority, handle) = (FILTER_PRIORITY, FILTER_HANDLE);
    // A filter link of aya's removes the filter when it is dropped.
    drop(SchedClassifierLink::attached(interface, direction, priority, handle, None));
}

/// The BPF file system reserves names with dots, which VLAN interfaces have.
fn escape(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2E")
}

fn unescape(name: &str) -> String {
    name.replace("%2E", ".").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_paths() {
        for interface in ["eth0", "eth0.100", "a-xdp", "veth%2E", "%25.", "tcx-egress"] {
            for hook in Hook::ALL {
                let pin = Pin { interface: interface.to_owned(), hook };
                let path = pin.path(Path::new("/links"));
                let name = path.file_name().and_then(|name| name.to_str()).unwrap();
                assert!(!name.contains('.'), "{name}");
                assert_eq!(Pin::parse(name), Some(pin), "{name}");
            }
        }
        assert_eq!(Pin::parse("eth0"), None);
    }
}
