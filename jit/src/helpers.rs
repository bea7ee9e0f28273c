// SPDX-License-Identifier: GPL-2.0-or-later
//! The helper functions that a program calls, each with its slot in the runtime block.

use kop_ops::code::runtime;

/// Ids by slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Helpers {
    ids: Vec<i32>,
}

impl Helpers {
    /// The displacement of the slot of the helper function `id` in the runtime block; `None` when all are taken.
    pub fn displacement(&mut self, id: i32) -> Option<i32> {
        let slot = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        (slot < runtime::MAX_HELPERS).then_some(runtime::HELPERS + 8 * slot as i32)
    }

    /// The ids, by slot.
    pub fn into_ids(self) -> Vec<i32> {
        self.ids
    }
}
