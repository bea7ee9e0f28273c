// SPDX-License-Identifier: GPL-2.0-or-later
//! Planted faults: operations and engines that are wrong in one way each, and what a check must report of them.
//!
//! They are the tests of the tester. Each is a mistake that a reviewer would read over: it is right for most operands, most
//! values or most CPUs, or it is wrong in something else than the result.

mod absolute;
mod bit_deposit;
mod bitwise_not;
mod bulk_copy;
mod bulk_fill;
mod callbacks;
mod clmul;
mod code;
mod compare_chain;
mod count_zeros;
mod crc32c;
mod engine;
mod extract;
mod faulty;
mod frame;
mod hints;
mod lowest_bit;
mod min_max;
mod multiply_high;
mod one_form;
mod pairs;
mod popcount;
mod reference;
mod rotate;
mod select;
mod swapped_load;
mod table_lookup;
#[cfg(test)]
mod tests;
mod unending;
mod wide_load;
mod wide_store;

use std::fmt;
use std::sync::LazyLock;

use kop_ops::{Arch, Catalog, Kop};
use kop_reports::{Blame, Kind};

pub use engine::{PlantedEngine, engines};
use faulty::{Faulty, Mistake};
pub use one_form::OneForm;

/// A fault in one form of an operation, and how a check must report it.
#[derive(Clone)]
pub struct Planted {
    /// Its name, unique, in kebab case.
    pub name: &'static str,
    /// The mistake, and why it is easily made or missed.
    pub about: &'static str,
    /// The operation.
    pub kop: &'static str,
    /// The form that is wrong; the others are sound.
    pub form: &'static str,
    /// The row that shows it.
    pub arch: Arch,
    /// The kind of the divergence.
    pub kind: Kind,
    /// The side to blame.
    pub blame: Blame,
    mistake: Mistake,
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Planted {
    /// The broken operation: the one of the catalog but for the mistake.
    ///
    /// # Panics
    /// When the catalog lacks the operation.
    pub fn kop(&self) -> Box<dyn Kop> {
        let inner = Catalog::einsn().get(self.kop).expect("planted faults name operations of the catalog");
        Box::new(Faulty::new(inner, self.clone()))
    }
}

/// Every fault in an operation, by operation and then by what is broken.
pub fn all() -> &'static [Planted] {
    static ALL: LazyLock<Vec<Planted>> = LazyLock::new(|| {
        [
            rotate::faults(),
            select::faults(),
            popcount::faults(),
            extract::faults(),
            swapped_load::faults(),
            count_zeros::faults(),
            clmul::faults(),
            wide_load::faults(),
            wide_store::faults(),
            bulk_copy::faults(),
            bulk_fill::faults(),
            pairs::faults(),
            hints::faults(),
            lowest_bit::faults(),
            bitwise_not::faults(),
            min_max::faults(),
            absolute::faults(),
            multiply_high::faults(),
            crc32c::faults(),
            compare_chain::faults(),
            table_lookup::faults(),
            bit_deposit::faults(),
            frame::faults(),
            callbacks::faults(),
            reference::faults(),
        ]
        .concat()
    });
    &ALL
}

/// The fault called `name`.
pub fn find(name: &str) -> Option<&'static Planted> {
    all().iter().find(|planted| planted.name == name)
}

/// The faults that end no check, each as an emit that does not return: for fuzzers, which stop them.
pub fn unending() -> &'static [Planted] {
    static UNENDING: LazyLock<Vec<Planted>> = LazyLock::new(unending::faults);
    &UNENDING
}

/// Where a fault is: an operation and a form.
type At = (&'static str, &'static str);

/// A fault in an x86-64 emit.
fn x86_64(
    at: At,
    name: &'static str,
    kind: Kind,
    about: &'static str,
    patch: faulty::Patch<kop_ops::x86_64::Insn>,
) -> Planted {
    planted(at, Arch::X86_64, name, (kind, Blame::Emit), about, Mistake::X86_64(patch))
}

/// A fault in an AArch64 emit.
fn aarch64(
    at: At,
    name: &'static str,
    kind: Kind,
    about: &'static str,
    patch: faulty::Patch<kop_ops::aarch64::Insn>,
) -> Planted {
    planted(at, Arch::Aarch64, name, (kind, Blame::Emit), about, Mistake::Aarch64(patch))
}

fn planted(
    (kop, form): At,
    arch: Arch,
    name: &'static str,
    (kind, blame): (Kind, Blame),
    about: &'static str,
    mistake: Mistake,
) -> Planted {
    Planted { name, about, kop, form, arch, kind, blame, mistake }
}
