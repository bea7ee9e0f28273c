// SPDX-License-Identifier: GPL-2.0-or-later
//! The memory of all slots at its fixed addresses in this process, for code that runs here.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use kop_ops::state::{SLOTS, Slot};
use kop_semantics::Image;

use crate::arena::{Arena, Region};

/// Windows, stacks, contexts and map values of all slots, mapped for the life of the process.
///
/// A slot's memory is touched only while its lock is held.
pub(crate) struct Slots {
    arena: Arena,
    locks: [Mutex<()>; SLOTS],
}

// SAFETY: the arena's bytes of a slot are reached only under the slot's lock.
unsafe impl Sync for Slots {}

fn regions(slot: Slot) -> [Region; 4] {
    [Region::Window(slot), Region::Stack(slot), Region::Context(slot), Region::Maps(slot)]
}

/// The slots of this process.
///
/// # Errors
/// Why they cannot be mapped, in one line.
pub(crate) fn slots() -> Result<&'static Slots, String> {
    static SHARED: OnceLock<Result<Slots, String>> = OnceLock::new();
    let map = || {
        let arena = Arena::new().map_err(|error| format!("no memory for windows and stacks: {error}"))?;
        for region in Slot::all().flat_map(regions) {
            arena
                .map_fixed(region)
                .map_err(|error| format!("address {:#x} of a slot is not free: {error}", region.address()))?;
        }
        Ok(Slots { arena, locks: std::array::from_fn(|_| Mutex::new(())) })
    };
    SHARED.get_or_init(map).as_ref().map_err(Clone::clone)
}

impl Slots {
    /// Locks a slot.
    pub(crate) fn lock(&self, slot: Slot) -> MutexGuard<'_, ()> {
        self.locks[slot.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a region of a slot, whose lock the caller holds as long as it looks at them.
    pub(crate) fn bytes(&self, region: Region) -> &[u8] {
        self.arena.bytes(region)
    }

    /// Writes the first bytes of a region of a slot, whose lock the caller holds.
    pub(crate) fn write(&self, region: Region, bytes: &[u8]) {
        assert!(bytes.len() <= region.size(), "a region has {} bytes", region.size());
        // SAFETY: the pointer is to `size` bytes of a live mapping, and the caller holds the slot's lock.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.arena.pointer(region), bytes.len()) };
    }
}

/// The memory of a slot, which nothing else uses as long as this lives: what code in this process finds at the slot's
/// addresses.
pub struct SlotMemory {
    slots: &'static Slots,
    slot: Slot,
    _lock: MutexGuard<'static, ()>,
}

impl SlotMemory {
    /// Waits until the slot is free, and takes it.
    ///
    /// # Errors
    /// Why slots cannot be mapped into this process, in one line.
    pub fn take(slot: Slot) -> Result<Self, String> {
        let slots = slots()?;
        Ok(Self { slots, slot, _lock: slots.lock(slot) })
    }

    /// Puts an image in place.
    ///
    /// # Panics
    /// For an image of another slot.
    pub fn load(&mut self, image: &Image) {
        assert_eq!(image.slot, self.slot, "an image belongs to its slot");
        for (region, bytes) in
            regions(self.slot).into_iter().zip([&image.window, &image.stack, &image.context, &image.maps])
        {
            self.slots.write(region, bytes);
        }
    }

    /// What is in place, of the same shape as `image`.
    pub fn read(&self, image: &Image) -> Image {
        let lengths = [image.window.len(), image.stack.len(), image.context.len(), image.maps.len()];
        let read = |i: usize| Box::from(&self.slots.bytes(regions(self.slot)[i])[..lengths[i]]);
        Image { slot: self.slot, window: read(0), stack: read(1), context: read(2), maps: read(3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_at_their_addresses() {
        let slot = Slot::of_batch(11);
        let mut memory = SlotMemory::take(slot).expect("the slots are free");
        let mut image = Image::zeroed(slot, 24, 8192);
        for (i, (_, bytes)) in image.regions_mut().enumerate() {
            bytes.fill(i as u8 + 1);
        }
        memory.load(&image);
        for (address, bytes) in image.regions() {
            // SAFETY: the slot is mapped and locked.
            assert_eq!(unsafe { *(address as *const u8) }, bytes[0]);
        }
        assert_eq!(memory.read(&image), image);
    }
}
