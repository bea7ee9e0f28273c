// SPDX-License-Identifier: GPL-2.0-or-later
//! The bytes that a program can address, as this crate keeps them: window, stack, context and map values.

use std::fmt;

use kop_ops::state::{STACK_SIZE, Slot, WINDOW_SIZE};
use kop_ops::{Access, Fault};

use super::GuestMemory;

/// The bytes that a program can address: window (with the packet), stack, context and map values of one slot.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// The slot.
    pub slot: Slot,
    /// The window's bytes, [`WINDOW_SIZE`] of them.
    pub window: Box<[u8]>,
    /// The stack's bytes, lowest address first, [`STACK_SIZE`] of them.
    pub stack: Box<[u8]>,
    /// The context's bytes from [`Slot::context`]: as many as the kind of program has, none for a raw program.
    pub context: Box<[u8]>,
    /// The bytes from [`Slot::maps`] to the end of the last map's values.
    pub maps: Box<[u8]>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.context.len(), self.maps.len());
        write!(f, "Image {{ slot: {}, context and maps: {sizes:?} bytes, .. }}", self.slot.index())
    }
}

/// The most regions that an image has.
pub const MAX_REGIONS: usize = 4;

impl Image {
    /// Zeroed memory in `slot` with `context` bytes of context and `maps` bytes of maps.
    pub fn zeroed(slot: Slot, context: usize, maps: usize) -> Self {
        let zeroed = |size| vec![0; size].into_boxed_slice();
        Self {
            slot,
            window: zeroed(WINDOW_SIZE),
            stack: zeroed(STACK_SIZE),
            context: zeroed(context),
            maps: zeroed(maps),
        }
    }

    /// Every region that is not empty, with the address of its first byte: window, stack, context, map values.
    pub fn regions(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let slot = self.slot;
        let regions: [(u64, &[u8]); MAX_REGIONS] = [
            (slot.window(), &self.window),
            (slot.stack(), &self.stack),
            (slot.context(), &self.context),
            (slot.maps(), &self.maps),
        ];
        regions.into_iter().filter(|(_, bytes)| !bytes.is_empty())
    }

    /// As [`Image::regions`], to be written.
    pub fn regions_mut(&mut self) -> impl Iterator<Item = (u64, &mut [u8])> {
        let slot = self.slot;
        let regions: [(u64, &mut [u8]); MAX_REGIONS] = [
            (slot.window(), &mut self.window),
            (slot.stack(), &mut self.stack),
            (slot.context(), &mut self.context),
            (slot.maps(), &mut self.maps),
        ];
        regions.into_iter().filter(|(_, bytes)| !bytes.is_empty())
    }

    /// The memory that a program may access, as first address and number of bytes: the [regions](Image::regions). An access
    /// has to lie in one of them with all of its bytes.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        self.regions().map(|(base, bytes)| (base, bytes.len() as u64)).collect()
    }

    /// The little-endian value of `size` (1 to 8) bytes at `address`.
    ///
    /// # Errors
    /// [`Fault::Memory`] with `address` when a byte lies outside of the region that the first one lies in.
    #[inline]
    pub fn load(&self, address: u64, size: usize) -> Result<u64, Fault> {
        let bytes = self.slice(address, size).ok_or_else(|| refused(Access::Read, address))?;
        Ok(match bytes {
            [a] => u64::from(*a),
            [a, b] => u64::from(u16::from_le_bytes([*a, *b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            odd => {
                let mut value = [0; 8];
                value[..size].copy_from_slice(odd);
                u64::from_le_bytes(value)
            }
        })
    }

    /// Stores the low `size` (1 to 8) bytes of `value` at `address`, little-endian.
    ///
    /// # Errors
    /// As [`Image::load`]; nothing is stored then.
    #[inline]
    pub fn store(&mut self, address: u64, size: usize, value: u64) -> Result<(), Fault> {
        let bytes = self.slice_mut(address, size).ok_or_else(|| refused(Access::Write, address))?;
        bytes.copy_from_slice(&value.to_le_bytes()[..size]);
        Ok(())
    }

    /// The address and contents of the first byte in which two images of one slot differ: `(address, self's, other's)`. A
    /// byte that only one of them has differs, and counts as 0 in the other.
    pub fn first_difference(&self, other: &Image) -> Option<(u64, u8, u8)> {
        let pairs = [
            (&self.window, &other.window, self.slot.window()),
            (&self.stack, &other.stack, self.slot.stack()),
            (&self.context, &other.context, self.slot.context()),
            (&self.maps, &other.maps, self.slot.maps()),
        ];
        pairs.into_iter().find_map(|(mine, theirs, base)| {
            let common = mine.len().min(theirs.len());
            let offset = match mine.iter().zip(theirs.iter()).position(|(a, b)| a != b) {
                Some(offset) => offset,
                None if mine.len() != theirs.len() => common,
                None => return None,
            };
            let byte = |bytes: &[u8]| bytes.get(offset).copied().unwrap_or_default();
            Some((base + offset as u64, byte(mine), byte(theirs)))
        })
    }

    /// The bytes at `address` when one region holds them all.
    #[inline]
    pub fn slice(&self, address: u64, size: usize) -> Option<&[u8]> {
        let slot = self.slot;
        within(&self.stack, slot.stack(), address, size)
            .or_else(|| within(&self.window, slot.window(), address, size))
            .or_else(|| within(&self.maps, slot.maps(), address, size))
            .or_else(|| within(&self.context, slot.context(), address, size))
    }

    /// As [`Image::slice`], to be written.
    #[inline]
    pub fn slice_mut(&mut self, address: u64, size: usize) -> Option<&mut [u8]> {
        let slot = self.slot;
        let regions = [
            (&mut self.stack, slot.stack()),
            (&mut self.window, slot.window()),
            (&mut self.maps, slot.maps()),
            (&mut self.context, slot.context()),
        ];
        for (bytes, base) in regions {
            if let Some(offset) = offset_within(bytes.len(), base, address, size) {
                return Some(&mut bytes[offset..offset + size]);
            }
        }
        None
    }
}

fn refused(access: Access, address: u64) -> Fault {
    Fault::Memory { access, address: Some(address) }
}

#[inline]
fn offset_within(length: usize, base: u64, address: u64, size: usize) -> Option<usize> {
    let offset = usize::try_from(address.wrapping_sub(base)).ok()?;
    (size <= length && offset <= length - size && length > 0).then_some(offset)
}

#[inline]
fn within(bytes: &[u8], base: u64, address: u64, size: usize) -> Option<&[u8]> {
    let offset = offset_within(bytes.len(), base, address, size)?;
    Some(&bytes[offset..offset + size])
}

impl GuestMemory for Image {
    fn bytes(&self, address: u64, length: usize) -> Result<&[u8], Fault> {
        self.slice(address, length).ok_or_else(|| refused(Access::Read, address))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let place = self.slice_mut(address, bytes.len()).ok_or_else(|| refused(Access::Write, address))?;
        place.copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image::zeroed(Slot::of_batch(3), 24, 40)
    }

    #[test]
    fn every_region_is_exact_at_both_ends() {
        let mut image = image();
        for (base, length) in image.ranges() {
            let last = base + length - 1;
            for (first, size) in
                [(base, 1), (base, 8), (last, 1), (last - 7, 8), (last - 3, 4), (last - 2, 3)]
            {
                let value = 0x8877_6655_4433_2211 >> (64 - 8 * size);
                assert_eq!(image.store(first, size, value), Ok(()), "{first:#x}");
                assert_eq!(image.load(first, size), Ok(value), "{first:#x}");
            }
            for (first, size) in
                [(base - 1, 1), (base - 1, 2), (base - 7, 8), (last, 2), (last - 6, 8), (last + 1, 1)]
            {
                assert_eq!(image.load(first, size), Err(refused(Access::Read, first)), "{first:#x}");
                assert_eq!(image.store(first, size, 1), Err(refused(Access::Write, first)), "{first:#x}");
            }
        }
        assert!(image.load(u64::MAX, 8).is_err() && image.load(0, 1).is_err());
    }

    #[test]
    fn a_region_that_is_empty_is_no_range() {
        let image = Image::zeroed(Slot::default(), 0, 0);
        assert_eq!(image.ranges().len(), 2);
        assert!(image.load(Slot::default().context(), 1).is_err());
        assert_eq!(image.slice(Slot::default().maps(), 0), None);
    }

    #[test]
    fn the_first_difference_is_found_in_every_region() {
        let one = image();
        assert_eq!(one.first_difference(&one), None);
        for (base, length) in one.ranges() {
            let mut other = one.clone();
            other.write(base + length - 1, &[7]).expect("it is mapped");
            assert_eq!(one.first_difference(&other), Some((base + length - 1, 0, 7)));
        }
        assert_eq!(
            one.first_difference(&Image::zeroed(one.slot, 24, 39)).map(|d| d.0),
            Some(one.slot.maps() + 39)
        );
    }
}
