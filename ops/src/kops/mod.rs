// SPDX-License-Identifier: GPL-2.0-or-later
//! EInsn, the library of operations: one file each, to be read from top to bottom.

pub mod absolute;
pub mod bit_deposit;
pub mod bit_extract;
pub mod bitwise_not;
pub mod bulk_copy;
pub mod bulk_fill;
pub mod clmul;
pub mod compare_chain;
pub mod count_zeros;
pub mod crc32c;
pub mod extract;
pub mod load_pair;
pub mod lowest_bit;
pub mod min_max;
pub mod multiply_high;
pub mod popcount;
pub mod prefetch;
pub mod rotate;
pub mod select;
pub mod speculation_barrier;
pub mod store_pair;
pub mod swapped_load;
pub mod table_lookup;
pub mod wide_load;
pub mod wide_store;
