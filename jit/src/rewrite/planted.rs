// SPDX-License-Identifier: GPL-2.0-or-later
//! Mistakes that the rewriter makes when it is asked to: tests of the tester.

/// A mistake of the rewriter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Planted {
    /// A site has an amount, offset or length that is one too many.
    WrongAmount,
    /// What is needed behind a region, or where it is left, is taken for dead.
    IgnoredLiveness,
    /// Code into whose middle a jump goes is taken for straight.
    IgnoredTarget,
    /// The bytes of a number are loaded or stored the other way around.
    WrongOrder,
    /// What a site takes, or loads, first and second is exchanged.
    ExchangedInputs,
    /// What a branch selects is exchanged.
    SwappedSides,
    /// A loop that counts by another number is taken for one that counts by one.
    WrongStep,
    /// A table has another number for what is not in it.
    WrongDefault,
}

impl Planted {
    /// Every mistake.
    pub const ALL: &'static [Planted] = &[
        Planted::WrongAmount,
        Planted::IgnoredLiveness,
        Planted::IgnoredTarget,
        Planted::WrongOrder,
        Planted::ExchangedInputs,
        Planted::SwappedSides,
        Planted::WrongStep,
        Planted::WrongDefault,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Planted::WrongAmount => "wrong-amount",
            Planted::IgnoredLiveness => "ignored-liveness",
            Planted::IgnoredTarget => "ignored-target",
            Planted::WrongOrder => "wrong-order",
            Planted::ExchangedInputs => "exchanged-inputs",
            Planted::SwappedSides => "swapped-sides",
            Planted::WrongStep => "wrong-step",
            Planted::WrongDefault => "wrong-default",
        }
    }
}
