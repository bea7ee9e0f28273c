// SPDX-License-Identifier: GPL-2.0-or-later
//! A program's memory in an arena: an image goes in before a run and comes out after it, and helper functions reach what
//! lies between.

use kop_ops::{Access, Fault, Slot};
use kop_semantics::{GuestMemory, Image};

use crate::arena::{Arena, Region};

/// Copies an image to its place.
pub(super) fn load(arena: &mut Arena, image: &Image) {
    for (region, bytes) in parts(image) {
        arena.bytes_mut(region)[..bytes.len()].copy_from_slice(bytes);
    }
}

/// The image that the arena holds, of the same shape as `image`.
pub(super) fn read(arena: &Arena, image: &Image) -> Image {
    let [window, stack, context, maps] =
        parts(image).map(|(region, bytes)| Box::from(&arena.bytes(region)[..bytes.len()]));
    Image { slot: image.slot, window, stack, context, maps }
}

fn parts(image: &Image) -> [(Region, &[u8]); 4] {
    let slot = image.slot;
    [
        (Region::Window(slot), &image.window),
        (Region::Stack(slot), &image.stack),
        (Region::Context(slot), &image.context),
        (Region::Maps(slot), &image.maps),
    ]
}

/// The memory of a program that runs in an arena, as helper functions reach it: what its [`Image`] has, and nothing else.
pub(super) struct ArenaMemory<'a> {
    arena: &'a mut Arena,
    slot: Slot,
    context: usize,
    maps: usize,
}

impl<'a> ArenaMemory<'a> {
    /// The memory of a program that started with `image`.
    pub(super) fn new(arena: &'a mut Arena, image: &Image) -> Self {
        Self { arena, slot: image.slot, context: image.context.len(), maps: image.maps.len() }
    }

    /// The region that holds all of these bytes, and the offset in it.
    fn find(&self, address: u64, size: usize) -> Option<(Region, usize)> {
        let slot = self.slot;
        let regions = [
            (Region::Window(slot), Region::Window(slot).size()),
            (Region::Stack(slot), Region::Stack(slot).size()),
            (Region::Context(slot), self.context),
            (Region::Maps(slot), self.maps),
        ];
        regions.into_iter().find_map(|(region, length)| {
            let offset = usize::try_from(address.checked_sub(region.address())?).ok()?;
            let within = length > 0 && size <= length && offset <= length - size;
            within.then_some((region, offset))
        })
    }
}

impl GuestMemory for ArenaMemory<'_> {
    fn bytes(&self, address: u64, length: usize) -> Result<&[u8], Fault> {
        let found = self.find(address, length);
        let (region, offset) = found.ok_or(Fault::Memory { access: Access::Read, address: Some(address) })?;
        Ok(&self.arena.bytes(region)[offset..offset + length])
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let (region, offset) = self
            .find(address, bytes.len())
            .ok_or(Fault::Memory { access: Access::Write, address: Some(address) })?;
        self.arena.bytes_mut(region)[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_the_image_does() {
        let mut arena = Arena::new().expect("memfd works on Linux");
        let mut image = Image::zeroed(Slot::of_batch(5), 24, 40);
        for (i, (_, bytes)) in image.regions_mut().enumerate() {
            bytes.fill(i as u8 + 1);
        }
        load(&mut arena, &image);
        assert_eq!(read(&arena, &image), image);
        let ranges = image.ranges();
        for (base, length) in ranges {
            for first in [base - 1, base, base + 1, base + length - 8, base + length - 7, base + length] {
                for size in [0, 1, 7, 8, length as usize] {
                    let mut bytes = [vec![0; size], vec![0; size]];
                    let [a, b] = &mut bytes;
                    let memory = ArenaMemory::new(&mut arena, &image);
                    assert_eq!(memory.read(first, a), image.read(first, b), "{first:#x} {size}");
                    assert_eq!(bytes[0], bytes[1]);
                    let mut memory = ArenaMemory::new(&mut arena, &image);
                    let written = vec![0x5a; size];
                    assert_eq!(memory.write(first, &written), image.write(first, &written));
                }
            }
        }
        assert_eq!(read(&arena, &image), image);
    }
}
