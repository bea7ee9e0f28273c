// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs with what is expected of them.

pub mod expectation;
