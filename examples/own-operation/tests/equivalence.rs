// SPDX-License-Identifier: GPL-2.0-or-later
//! The whole test of an operation: native code does what the proof says, on both architectures.

use kop_harness::assert_equivalent;
use kop_harness::ops::Catalog;
use own_operation::AndNot;

#[test]
fn native_code_does_what_the_proof_says() {
    assert_equivalent(&Catalog::with(&AndNot));
}
