//! Frames of a capture.

use std::{fs::File, io::BufReader, path::Path};

use abi::generate::{LONGEST, Recorded, SHORTEST};
use pcap_file::{DataLink, pcap::PcapReader};

use super::GenerateError;

/// Reads a capture's frames. Those that cannot be sent whole are an error: they would be others
/// than those that were captured.
pub fn read(path: &Path) -> Result<Vec<Recorded>, GenerateError> {
    let capture = |reason: String| GenerateError::Capture { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| capture(error.to_string()))?;
    let mut reader =
        PcapReader::new(BufReader::new(file)).map_err(|error| capture(error.to_string()))?;
    if reader.header().datalink != DataLink::ETHERNET {
        return Err(capture(format!("it is of {:?}, not Ethernet", reader.header().datalink)));
    }
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.map_err(|error| capture(error.to_string()))?;
        let number = frames.len() + 1;
        let (data, length) = (packet.data, packet.orig_len as usize);
        if data.len() < length {
            return Err(capture(format!("frame {number} was cut short when it was captured")));
        }
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(capture(format!(
                "frame {number} has {length} bytes; {SHORTEST} to {LONGEST} can be sent"
            )));
        }
        if frames.len() == MOST {
            return Err(capture(format!("it has more than {MOST} frames")));
        }
        let mut bytes = [0; LONGEST];
        bytes[..length].copy_from_slice(&data);
        frames.push(Recorded { length: length as u32, padding: 0, bytes });
    }
    if frames.is_empty() { Err(capture("it has no frames".to_owned())) } else { Ok(frames) }
}

/// They are 128 MiB in the kernel.
const MOST: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};

    use super::*;

    fn capture(datalink: DataLink, frames: &[(usize, u32)]) -> Result<Vec<Recorded>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("frames.pcap");
        let header = PcapHeader { datalink, ..PcapHeader::default() };
        let mut writer = PcapWriter::with_header(File::create(&path).unwrap(), header).unwrap();
        for (length, original) in frames {
            let data = vec![*length as u8; *length];
            writer.write_packet(&PcapPacket::new(Duration::ZERO, *original, &data)).unwrap();
        }
        let frames = read(&path).map_err(|error| error.to_string());
        frames.map_err(|error| error.replace(path.to_str().unwrap(), "PATH"))
    }

    #[test]
    fn frames_are_as_they_were() {
        let frames = capture(DataLink::ETHERNET, &[(14, 14), (2040, 2040), (60, 60)]).unwrap();
        assert_eq!(frames.iter().map(|it| it.length).collect::<Vec<_>>(), [14, 2040, 60]);
        assert_eq!((frames[2].bytes[59], frames[2].bytes[60]), (60, 0));
    }

    #[test]
    fn what_cannot_be_sent_whole_is_refused() {
        for (datalink, frames, message) in [
            (DataLink::ETHERNET, &[][..], "it has no frames"),
            (DataLink::RAW, &[(60, 60)], "it is of RAW, not Ethernet"),
            (DataLink::ETHERNET, &[(13, 13)], "frame 1 has 13 bytes; 14 to 2040 can be sent"),
            (
                DataLink::ETHERNET,
                &[(60, 60), (2041, 2041)],
                "frame 2 has 2041 bytes; 14 to 2040 can be sent",
            ),
            (DataLink::ETHERNET, &[(60, 61)], "frame 1 was cut short when it was captured"),
        ] {
            let expected = Err(format!("cannot replay PATH: {message}"));
            assert_eq!(capture(datalink, frames), expected);
        }
        let error = read(Path::new("/nonexistent.pcap")).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }
}
