// SPDX-License-Identifier: GPL-2.0-or-later
//! The operations there are; everything that walks operations walks a catalog.

use crate::kop::Kop;
use crate::kops;
use crate::payload::Form;

/// EInsn, in the order of every table. Adding an operation is one file and one line here.
static EINSN: &[&dyn Kop] = &[
    &kops::rotate::Rotate,
    &kops::select::Select,
    &kops::popcount::Popcount,
    &kops::extract::Extract,
    &kops::swapped_load::SwappedLoad,
    &kops::count_zeros::CountZeros,
    &kops::clmul::Clmul,
    &kops::wide_load::WideLoad,
    &kops::wide_store::WideStore,
    &kops::bulk_copy::BulkCopy,
    &kops::bulk_fill::BulkFill,
    &kops::load_pair::LoadPair,
    &kops::store_pair::StorePair,
    &kops::prefetch::Prefetch,
    &kops::speculation_barrier::SpeculationBarrier,
    &kops::lowest_bit::LowestBit,
    &kops::bitwise_not::BitwiseNot,
    &kops::min_max::MinMax,
    &kops::absolute::Absolute,
    &kops::multiply_high::MultiplyHigh,
    &kops::crc32c::Crc32c,
    &kops::compare_chain::CompareChain,
    &kops::table_lookup::TableLookup,
    &kops::bit_deposit::BitDeposit,
    &kops::bit_extract::BitExtract,
];

/// A list of operations with distinct names.
#[derive(Clone, Debug)]
pub struct Catalog<'a> {
    kops: Vec<&'a dyn Kop>,
}

impl<'a> Catalog<'a> {
    /// The operations of EInsn.
    pub fn einsn() -> Self {
        Self { kops: EINSN.to_vec() }
    }

    /// A catalog without operations, to add to.
    pub fn empty() -> Self {
        Self { kops: Vec::new() }
    }

    /// A catalog that holds `kop` alone: the way to check an operation of one's own.
    pub fn with(kop: &'a dyn Kop) -> Self {
        Self { kops: vec![kop] }
    }

    /// Adds an operation; one of the same name is replaced.
    #[must_use]
    pub fn and(mut self, kop: &'a dyn Kop) -> Self {
        match self.kops.iter().position(|other| other.name() == kop.name()) {
            Some(index) => self.kops[index] = kop,
            None => self.kops.push(kop),
        }
        self
    }

    /// The operations, in order.
    pub fn kops(&self) -> &[&'a dyn Kop] {
        &self.kops
    }

    /// The operation called `name`.
    ///
    /// # Errors
    /// [`UnknownKop`] with the names there are.
    pub fn get(&self, name: &str) -> Result<&'a dyn Kop, UnknownKop> {
        self.kops.iter().copied().find(|kop| kop.name() == name).ok_or_else(|| UnknownKop {
            name: name.to_owned(),
            known: self.kops.iter().map(|kop| kop.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Every operation with every form.
    pub fn forms(&self) -> impl Iterator<Item = (&'a dyn Kop, &'a Form)> {
        self.kops.iter().flat_map(|&kop| kop.forms().iter().map(move |form| (kop, form)))
    }
}

/// A name that no operation of the catalog has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation `{name}` (known: {known})")]
pub struct UnknownKop {
    /// The name.
    pub name: String,
    /// The names there are.
    pub known: String,
}
