// SPDX-License-Identifier: GPL-2.0-or-later
//! The running kernel: what it accepts, and that it gives what `spec` gives.

mod kernel {
    pub mod support;

    mod image;
    mod instructions;
    mod proofs;
    mod scenarios;
    mod verdicts;
}
