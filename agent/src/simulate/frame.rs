//! A frame in ordinary memory.

use datapath::{Field, Packet, Unit, checksum};

/// A frame whose bytes can be looked at afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

impl Packet for Frame {
    fn len(&self) -> u32 {
        self.0.len() as u32
    }

    fn load_array<U: Unit, const N: usize>(&self, offset: u32) -> Option<[U; N]> {
        let bytes = self.0.get(offset as usize..)?.get(..size_of::<[U; N]>())?;
        // SAFETY: the slice is as long as the integers, and any bytes are some.
        Some(unsafe { bytes.as_ptr().cast::<[U; N]>().read_unaligned() })
    }

    fn store_array<U: Unit, const N: usize>(&mut self, offset: u32, values: [U; N]) -> bool {
        let bytes = self.0.get_mut(offset as usize..);
        let Some(bytes) = bytes.and_then(|bytes| bytes.get_mut(..size_of::<[U; N]>())) else {
            return false;
        };
        // SAFETY: the slice is as long as the integers.
        unsafe { bytes.as_mut_ptr().cast::<[U; N]>().write_unaligned(values) };
        true
    }

    fn update_checksum(&mut self, offset: u32, delta: u16, _: Field, zero_is_none: bool) -> bool {
        let Some(field) = self.load::<u16>(offset) else { return false };
        if zero_is_none && field == 0 {
            return true;
        }
        let updated = checksum::update(field, delta);
        self.store(offset, if zero_is_none && updated == 0 { 0xffff } else { updated })
    }

    fn resize(&mut self, len: u32) -> bool {
        self.0.resize(len as usize, 0);
        true
    }

    fn insert(&mut self, network: u32, bytes: u32) -> bool {
        let at = network as usize;
        self.0.splice(at..at, vec![0; bytes as usize]);
        true
    }

    fn remove(&mut self, network: u32, bytes: u32) -> bool {
        let range = network as usize..(network + bytes) as usize;
        let fits = range.end <= self.0.len();
        if fits {
            self.0.drain(range);
        }
        fits
    }
}
