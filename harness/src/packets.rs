// SPDX-License-Identifier: GPL-2.0-or-later
//! Packets as users have them: hexadecimal digits, a capture, or a file with one packet's bytes.

use std::borrow::Cow;
use std::path::Path;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::bounded;

/// Why there are no packets.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// Neither digits nor a file.
    #[error("`{text}`: neither bytes in hexadecimal nor a file that can be read ({error})")]
    Neither {
        /// What was given.
        text: String,
        /// Why it is no file.
        error: std::io::Error,
    },
    /// A capture that is broken.
    #[error("{path}, packet {number}: {reason}")]
    Capture {
        /// The file.
        path: String,
        /// Number of the packet, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// A capture of something other than Ethernet.
    #[error("{path}: a capture of {link:?}; programs take Ethernet frames")]
    Link {
        /// The file.
        path: String,
        /// What it captures.
        link: DataLink,
    },
    /// A capture without packets.
    #[error("{0}: the capture holds no packet")]
    Empty(String),
}

/// The packets that `text` stands for: bytes in hexadecimal, with blanks or colons between them if any, or the name of a
/// capture (pcap or pcapng) or of a file with one packet's bytes.
///
/// # Errors
/// [`PacketError`] in one line.
pub fn read(text: &str) -> Result<Vec<Vec<u8>>, PacketError> {
    if let Some(bytes) = hex(text) {
        return Ok(vec![bytes]);
    }
    let bytes = bounded::read(Path::new(text), bounded::MAX_CAPTURE)
        .map_err(|error| PacketError::Neither { text: text.to_owned(), error })?;
    let packets = match bytes.get(..4) {
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xd4, 0xc3, 0xb2, 0xa1]) => pcap(text, &bytes)?,
        Some([0xa1, 0xb2, 0x3c, 0x4d] | [0x4d, 0x3c, 0xb2, 0xa1]) => pcap(text, &bytes)?,
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(text, &bytes)?,
        _ => vec![bytes],
    };
    if packets.is_empty() { Err(PacketError::Empty(text.to_owned())) } else { Ok(packets) }
}

/// The bytes of hexadecimal digits, two for each, with blanks or colons between bytes if any.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let words = text.split(|c: char| c.is_whitespace() || c == ':').filter(|word| !word.is_empty());
    let mut bytes = Vec::new();
    for word in words {
        let digits: Vec<u8> = word.chars().map(|c| Some(c.to_digit(16)? as u8)).collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        bytes.extend(pairs.iter().map(|[high, low]| high << 4 | low));
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn pcap(path: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, PacketError> {
    let broken = |number, error: pcap_file::PcapError| PacketError::Capture {
        path: path.to_owned(),
        number,
        reason: error.to_string(),
    };
    let mut reader = PcapReader::new(bytes).map_err(|error| broken(1, error))?;
    check_link(path, reader.header().datalink)?;
    let mut packets = Vec::new();
    // A packet that was cut off when it was captured is what was captured of it.
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.map_err(|error| broken(packets.len() + 1, error))?;
        packets.push(packet.data.into_owned());
    }
    Ok(packets)
}

fn pcapng(path: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, PacketError> {
    let broken = |number, reason: String| PacketError::Capture { path: path.to_owned(), number, reason };
    let mut reader = PcapNgReader::new(bytes).map_err(|error| broken(1, error.to_string()))?;
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut links = Vec::new();
    while let Some(block) = reader.next_block() {
        let number = packets.len() + 1;
        let (interface, data) = match block.map_err(|error| broken(number, error.to_string()))? {
            Block::SectionHeader(_) => {
                links.clear();
                continue;
            }
            Block::InterfaceDescription(interface) => {
                links.push(interface.linktype);
                continue;
            }
            Block::EnhancedPacket(packet) => (packet.interface_id as usize, packet.data),
            Block::SimplePacket(packet) => {
                // The block says how long the packet was, and is padded.
                let length = packet.data.len().min(packet.original_len as usize);
                (0, Cow::Owned(packet.data[..length].to_vec()))
            }
            Block::Packet(packet) => (usize::from(packet.interface_id), packet.data),
            _ => continue,
        };
        let link = links
            .get(interface)
            .ok_or_else(|| broken(number, "its interface is not described".to_owned()))?;
        check_link(path, *link)?;
        packets.push(Cow::into_owned(data));
    }
    Ok(packets)
}

fn check_link(path: &str, link: DataLink) -> Result<(), PacketError> {
    if link == DataLink::ETHERNET { Ok(()) } else { Err(PacketError::Link { path: path.to_owned(), link }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file header and two records as the pcap format's documentation lays them out.
    fn capture(link: u8) -> Vec<u8> {
        let mut bytes =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, link, 0, 0, 0];
        for packet in [[1, 2, 3], [4, 5, 6]] {
            bytes.extend([0; 8]);
            bytes.extend([3, 0, 0, 0, 3, 0, 0, 0]);
            bytes.extend(packet);
        }
        bytes
    }

    fn from_file(bytes: &[u8]) -> Result<Vec<Vec<u8>>, PacketError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("it can be written");
        read(file.path().to_str().expect("its name is text"))
    }

    #[test]
    fn digits_may_be_apart() {
        let bytes = Some(vec![0x01, 0x02, 0xab]);
        for text in ["0102ab", "01 02 AB", "01:02:ab", "0102 ab\n"] {
            assert_eq!(hex(text), bytes, "{text}");
        }
        for text in ["", "0", "01 2", "xy", "0x01"] {
            assert_eq!(hex(text), None, "{text}");
        }
    }

    #[test]
    fn captures_and_bytes_are_told_apart() {
        assert_eq!(from_file(&capture(1)).expect("it is sound"), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(from_file(&[9, 8]).expect("it is one packet"), [[9, 8]]);
        assert!(matches!(from_file(&capture(101)), Err(PacketError::Link { .. })));
        assert!(matches!(from_file(&capture(1)[..50]), Err(PacketError::Capture { number: 2, .. })));
        assert!(matches!(from_file(&capture(1)[..24]), Err(PacketError::Empty(_))));
        assert!(matches!(read("no such file"), Err(PacketError::Neither { .. })));
    }

    #[test]
    fn the_newer_format_is_read() {
        let mut bytes = vec![0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
        bytes.extend([0xff; 8]);
        bytes.extend([28, 0, 0, 0]);
        bytes.extend([1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]);
        bytes.extend([6, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([2, 0, 0, 0, 2, 0, 0, 0, 7, 8, 0, 0, 36, 0, 0, 0]);
        assert_eq!(from_file(&bytes).expect("it is sound"), [[7, 8]]);
    }
}
