// SPDX-License-Identifier: GPL-2.0-or-later
//! Mistakes that the tier makes when it is asked to: tests of the tester.
//!
//! To add a mistake, add a variant here and ask for it where the right choice is made.

/// Declares the mistakes with their names and what they are.
macro_rules! planted {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)+) => {
        /// A mistake of the tier.
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
    /// A 32-bit immediate is zero-extended in 64-bit arithmetic.
    ImmediateZeroExtended "immediate-zero-extended",
    /// A 32-bit result is sign-extended.
    SignExtends "sign-extends",
    /// An arithmetic shift shifts zeros in.
    ArithmeticShift "arithmetic-shift",
    /// A sign-extending move zero-extends.
    SignedMove "signed-move",
    /// A sign-extending load zero-extends.
    SignedLoad "signed-load",
    /// A swap of two bytes leaves them.
    SwapMissing "swap-missing",
    /// Unsigned division by zero leaves the dividend.
    DivideByZero "divide-by-zero",
    /// Unsigned remainder by zero yields zero.
    RemainderByZero "remainder-by-zero",
    /// Signed division by -1 leaves the dividend.
    DivideByMinusOne "divide-by-minus-one",
    /// A division of 64 bits is done on 32 though the operands do not fit.
    NarrowDivision "narrow-division",
    /// A 32-bit comparison compares all 64 bits.
    CompareWidth "compare-width",
    /// A signed comparison is done unsigned.
    CompareSign "compare-sign",
    /// `jset` tests for equality.
    TestAsCompare "test-as-compare",
    /// A function's frame is its caller's.
    CalleeFrame "callee-frame",
    /// A helper function does not get its last argument.
    HelperArguments "helper-arguments",
    /// Another program starts with the wrong r10.
    TailCallFrame "tail-call-frame",
    /// A fetching atomic operation does not load the old value.
    FetchResult "fetch-result",
    /// A load from a part of a word of the stack that is a value gets its lowest part.
    SlotPart "slot-part",
    /// A store to a part of such a word clears the rest.
    SlotPartAlone "slot-part-alone",
    /// An integer that is put together of its bytes, highest first, is loaded lowest first.
    WideLoadOrder "wide-load-order",
    /// Loads of bytes become one behind a store that changes what they load.
    WideLoadOverStore "wide-load-over-store",
    /// An integer whose bytes are stored highest first is stored lowest first.
    WideStoreOrder "wide-store-order",
    /// The upper half of a register is taken not to matter.
    UpperHalf "upper-half",
    /// Leading zeros are one too many.
    CountZeros "count-zeros",
    /// A search for the lowest one counts zeros from the highest.
    TrailingZeros "trailing-zeros",
    /// A loop that counts bits counts none of zero, though it does one turn.
    TurnsFromZero "turns-from-zero",
    /// Registers are taken for equal that are so on one way to where they meet.
    TwinsOfOneWay "twins-of-one-way",
    /// A check has shown more bytes than it did.
    CheckOfOtherDistance "check-of-other-distance",
    /// Sums in checks are taken not to wrap around.
    CheckThatWraps "check-that-wraps",
    /// A load moves out of a loop that stores what it loads.
    InvariantLoadOverStore "invariant-load-over-store",
    /// A table in place of comparisons has each number one too far.
    TableEntry "table-entry",
    /// A condition as a number is the opposite, on x86-64.
    ConditionOrder "condition-order",
    /// A selection in place of a jump takes the other value.
    SelectOrder "select-order",
    /// A lookup in an array finds an element behind the last.
    ArrayBound "array-bound",
    /// LLVM: what a block starts with is what the first jump into it passes.
    LlvmPhiOfOneWay "llvm-phi-of-one-way",
    /// LLVM: a signed comparison is done unsigned.
    LlvmCompareSign "llvm-compare-sign",
    /// LLVM: a number is extended with zeros for its sign.
    LlvmExtendsZeros "llvm-extends-zeros",
    /// LLVM: the amount of a shift is not taken modulo the width.
    LlvmShiftAmount "llvm-shift-amount",
    /// LLVM: what is behind the constant that was added to an address is forgotten.
    LlvmAddress "llvm-address",
}

impl Planted {
    /// Whether it is made where LLVM's IR is written.
    pub const fn is_of_llvm(self) -> bool {
        matches!(
            self,
            Planted::LlvmPhiOfOneWay
                | Planted::LlvmCompareSign
                | Planted::LlvmExtendsZeros
                | Planted::LlvmShiftAmount
                | Planted::LlvmAddress
        )
    }
}
