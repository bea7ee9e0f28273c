// SPDX-License-Identifier: GPL-2.0-or-later
//! Generators: which payloads and which states are worth running. A case is a pure function of the catalog and a seed, or
//! of a fuzzer's bytes; both go through the same code.

mod constants;
mod fuzz;
mod idioms;
mod payload;
mod placement;
mod program;
mod state;

pub use constants::{Constant, constants};
pub use fuzz::{ByteChoices, FuzzInput};
pub use idioms::idioms;
pub use payload::{
    Planned, alias_pattern, every_operands, field_values, invalid_payload, is_boundary, many_operands, plan,
    random_operands,
};
pub use placement::{Placing, always_faults, distances, related_lengths};
pub(crate) use program::kind_of;
pub use program::{ProgramPlan, RESULT_MAP, tally, wide_value, wild_offset};
pub use state::{Possible, StateClasses, StatePlan};
