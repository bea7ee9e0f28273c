// SPDX-License-Identifier: GPL-2.0-or-later
//! Mistakes that the back ends make when they are asked to: tests of the tester.
//!
//! Both back ends know every one of them. A compiler is generic over whether it may be asked at all, so that the one that
//! programs are compiled with has no trace of them. To add a mistake, add a variant here and ask `self.planted(..)` where
//! each back end makes the right choice.

/// Declares the mistakes with their names and what they are.
macro_rules! planted {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)+) => {
        /// A mistake of a back end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Planted { $($(#[$doc])* $variant,)+ }

        impl Planted {
            /// Every mistake.
            pub const ALL: &'static [Planted] = &[$(Planted::$variant,)+];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Planted::$variant => $name,)+ }
            }
        }
    };
}

planted! {
    /// A branch just over the short range is still written in the short form, where it lands wrong.
    ShortBranchRange "short-branch-range",
    /// A 32-bit immediate is zero-extended in 64-bit arithmetic.
    ImmediateZeroExtended "immediate-zero-extended",
    /// `ld_imm64` keeps the low half of its immediate alone.
    WideImmediateTruncated "wide-immediate-truncated",
    /// A shift by an immediate at or above the width shifts everything out instead of being masked.
    ShiftNotMasked "shift-not-masked",
    /// A 32-bit move keeps the upper half of a register that is moved to itself.
    MissingZeroExtension "missing-zero-extension",
    /// A 32-bit shift by zero keeps the upper half.
    ShiftByZeroKeepsUpper "shift-by-zero-keeps-upper",
    /// A 64-bit arithmetic shift is done on 32 bits.
    ArithmeticShiftNarrow "arithmetic-shift-narrow",
    /// A variable shift takes its amount from the destination.
    ShiftAmountRegister "shift-amount-register",
    /// A 32-bit comparison compares all 64 bits.
    CompareWidth "compare-width",
    /// A signed comparison is done unsigned.
    CompareSign "compare-sign",
    /// `jset` tests for equality.
    TestAsCompare "test-as-compare",
    /// Unsigned division by zero leaves the dividend.
    DivideByZero "divide-by-zero",
    /// Unsigned remainder by zero yields zero.
    RemainderByZero "remainder-by-zero",
    /// Signed division by -1 leaves the dividend.
    DivideByMinusOne "divide-by-minus-one",
    /// Signed division is done unsigned.
    SignedDivision "signed-division",
    /// A division leaves another register changed.
    DivisionClobbers "division-clobbers",
    /// A sign-extending load zero-extends.
    SignedLoad "signed-load",
    /// A sign-extending move zero-extends.
    SignedMove "signed-move",
    /// A negative offset of a load or store is taken as unsigned.
    OffsetSign "offset-sign",
    /// An access through r10 takes the base without the offset.
    FrameBase "frame-base",
    /// A store of an immediate to eight bytes zero-extends it.
    StoreImmediate "store-immediate",
    /// A 32-bit `cmpxchg` that succeeds leaves the upper half of r0.
    CmpxchgUpper "cmpxchg-upper",
    /// A `cmpxchg` that fails leaves r0.
    CmpxchgResult "cmpxchg-result",
    /// A fetching atomic operation leaves the register that receives the old value.
    FetchResult "fetch-result",
    /// A 16-bit byte swap leaves the bits above.
    SwapUpper "swap-upper",
    /// A function does not save r9 for its caller.
    CalleeSaved "callee-saved",
    /// A function that is called uses the caller's stack frame.
    CalleeFrame "callee-frame",
    /// Two instructions become one although a jump goes to the second.
    FusedTarget "fused-target",
    /// A conditional jump over an unconditional one becomes one jump where that one goes, on the same condition.
    JumpOver "jump-over",
    /// A sum that is the address of an access is not written to its register although it is read behind.
    SumDropped "sum-dropped",
}
