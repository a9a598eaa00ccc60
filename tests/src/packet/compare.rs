//! Compares frames field by field; what differs is left behind as a pcap.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    path::PathBuf,
    thread,
};

use anyhow::{Context, Result};
use pcap_file::pcap::{PcapPacket, PcapWriter};

use super::fields::{Field, fields};

/// Panics unless two frames are the same bytes.
///
/// The message lists every field, marks those that differ, and names a pcap in
/// `target/pcaps/<test>.pcap` whose first frame is the expected one and second the actual.
#[track_caller]
pub fn assert_packet_eq(expected: impl AsRef<[u8]>, actual: impl AsRef<[u8]>) {
    let (expected, actual) = (expected.as_ref(), actual.as_ref());
    if expected == actual {
        return;
    }
    let name = thread::current().name().unwrap_or("unnamed").replace("::", "-");
    let pcap = match write_pcap(&name, &[expected, actual]) {
        Ok(path) => format!("both are in {}", path.display()),
        Err(error) => format!("no pcap: {error:#}"),
    };
    panic!("packets differ ({pcap})\n{}", difference(expected, actual));
}

/// Writes frames to `target/pcaps/<name>.pcap` and returns the path.
pub fn write_pcap(name: &str, frames: &[&[u8]]) -> Result<PathBuf> {
    let directory = target_directory()?.join("pcaps");
    fs::create_dir_all(&directory)?;
    let path = directory.join(name).with_extension("pcap");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let mut writer = PcapWriter::new(file)?;
    for frame in frames {
        let length = u32::try_from(frame.len())?;
        writer.write_packet(&PcapPacket::new(std::time::Duration::ZERO, length, frame))?;
    }
    Ok(path)
}

/// Cargo's target directory: the executable of a test is in its `<profile>/deps`.
fn target_directory() -> Result<PathBuf> {
    let executable = env::current_exe()?;
    let profile = executable.ancestors().find(|path| path.join("deps").is_dir());
    let target = profile.and_then(|profile| profile.parent());
    Ok(target.context("the executable is not in a target directory")?.to_owned())
}

fn difference(expected: &[u8], actual: &[u8]) -> String {
    let mut out = String::new();
    let (left, right) = (fields(expected), fields(actual));
    for name in merged_names(&left, &right) {
        let value = |side: &[Field]| {
            let values = side.iter().filter(|field| field.name == name).map(|field| &*field.value);
            values.collect::<Vec<_>>().join(", ")
        };
        let (left, right) = (value(&left), value(&right));
        if left == right {
            let _ = writeln!(out, "   {name:<28} {left}");
        } else {
            let _ = writeln!(out, "-  {name:<28} {left}\n+  {name:<28} {right}");
        }
    }
    if expected.len() != actual.len() {
        let _ = writeln!(out, "-  {:<28} {}", "frame length", expected.len());
        let _ = writeln!(out, "+  {:<28} {}", "frame length", actual.len());
    }
    let at = expected.iter().zip(actual).position(|(left, right)| left != right);
    let at = at.unwrap_or(expected.len().min(actual.len()));
    let _ = write!(out, "the first difference is at byte {at}");
    out
}

/// The names of both lists, each once, where only one has them after what precedes them there.
fn merged_names(left: &[Field], right: &[Field]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for side in [left, right] {
        let mut after = 0;
        for Field { name, .. } in side {
            if let Some(at) = names.iter().position(|known| known == name) {
                after = at + 1;
            } else {
                names.insert(after, name.clone());
                after += 1;
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, panic};

    use super::*;
    use crate::packet;

    #[test]
    fn a_difference_names_its_fields_and_leaves_a_pcap() {
        let client: SocketAddr = "10.1.0.11:4000".parse().unwrap();
        let vip: SocketAddr = "10.96.0.1:80".parse().unwrap();
        let backend: SocketAddr = "10.2.1.1:8080".parse().unwrap();
        let expected = packet::tcp(client, backend).syn().build();
        let actual = packet::tcp(client, vip).syn().vlan(7).build();
        let failure = panic::catch_unwind(|| assert_packet_eq(&expected, &actual)).unwrap_err();
        let message = failure.downcast_ref::<String>().unwrap();
        for line in [
            "-  ipv4.destination             10.2.1.1\n",
            "+  ipv4.destination             10.96.0.1\n",
            "-  tcp.destination              8080\n",
            "+  vlan                         id 7 priority 0\n",
            "   tcp.flags                    SYN\n",
            "a_difference_names_its_fields_and_leaves_a_pcap.pcap",
        ] {
            assert!(message.contains(line), "no {line:?} in:\n{message}");
        }
        let path = write_pcap("compare-twice", &[&expected, &actual]).unwrap();
        let mut pcap = pcap_file::pcap::PcapReader::new(File::open(path).unwrap()).unwrap();
        let mut frames = Vec::new();
        while let Some(packet) = pcap.next_packet() {
            frames.push(packet.unwrap().data.into_owned());
        }
        assert_eq!(frames, [expected, actual]);
    }

    #[test]
    fn equal_packets_pass() {
        assert_packet_eq([1, 2, 3], [1, 2, 3]);
    }
}
