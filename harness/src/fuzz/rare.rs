// SPDX-License-Identifier: GPL-2.0-or-later
//! A planted fault that chance rarely meets and that no Rust code knows of: native code decides at run time.
//!
//! It shows what the feedback is worth. The proof of `clmul` scans the bits of `a`, so that the path through it tells how
//! many are set. The AArch64 code here is wrong when exactly 57 are set, the first and the last among them and
//! bit 40 not, and the result goes to r5. It was made to measure: the number of blocks that ran is one of the features, and
//! a plainer fault (57 bits, first and last set) was found within a thousand inputs, too soon to tell anything.
//!
//! The inputs it took, 40,000 at most, for seeds 1 to 7, measured with the two arms side by side; `scripts/fuzz-feedback`
//! measures them one after the other:
//!
//! | feedback | 1 | 2 | 3 | 4 | 5 | 6 | 7 | median |
//! |---|---|---|---|---|---|---|---|---|
//! | on | 7,786 | 724 | 8,862 | 32,712 | > 40,000 | 16,318 | > 40,000 | 16,318 |
//! | off | > 40,000 | > 40,000 | > 22,596 | 12,802 | > 40,000 | > 26,266 | 32,035 | at least 32,035 |
//!
//! Two runs without feedback were interrupted where the table says so; seed 3 run again took 1,636, so that a seed does not
//! determine a run. Half the inputs at the median, then, for a fault of this shape, with a spread too wide for seven seeds
//! to say more.

use kop_ops::aarch64::{self, Cond, Gpr as X, Shift, Width as W};
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::kop::Limits;
use kop_ops::kops::clmul::Clmul;
use kop_ops::{Arch, Contract, Fault, Features, Form, Kop, Reject, Site, State, x86_64};

/// What `KOP_PLANT` calls it.
pub const NAME: &str = "rare";

/// `clmul` with the fault.
#[derive(Clone, Copy, Debug)]
pub struct Rare {
    /// How many bits must be set in `a`.
    pub ones: u32,
    /// Whether, besides, the first and the last bit of `a` must be set, bit 40 clear, and dst be r5.
    pub narrow: bool,
}

impl Default for Rare {
    fn default() -> Self {
        Self { ones: 57, narrow: true }
    }
}

impl Rare {
    /// X11 becomes 1 where the fault shows and 0 elsewhere. Scratch registers only, and no branch.
    fn decide(self, a: &mut aarch64::Assembler, value: X, dst: Reg) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        a.and_imm(W::X, X::X9, value, ONES * 0x55);
        a.lsr_imm(W::X, X::X10, value, 1);
        a.and_imm(W::X, X::X10, X::X10, ONES * 0x55);
        a.add(W::X, X::X9, X::X9, X::X10);
        a.and_imm(W::X, X::X10, X::X9, ONES * 0x33);
        a.lsr_imm(W::X, X::X9, X::X9, 2);
        a.and_imm(W::X, X::X9, X::X9, ONES * 0x33);
        a.add(W::X, X::X9, X::X9, X::X10);
        a.add_shifted(W::X, X::X9, X::X9, X::X9, Shift::Lsr, 4);
        a.and_imm(W::X, X::X9, X::X9, ONES * 0x0f);
        a.orr_imm(W::X, X::X10, X::Xzr, ONES);
        a.mul(W::X, X::X9, X::X9, X::X10);
        a.lsr_imm(W::X, X::X9, X::X9, 56);
        a.cmp_imm(W::X, X::X9, self.ones);
        a.cset(W::X, X::X11, Cond::Eq);
        if self.narrow {
            a.and(W::X, X::X11, X::X11, value);
            a.and_shifted(W::X, X::X11, X::X11, value, Shift::Lsr, 63);
            a.lsr_imm(W::X, X::X9, value, 40);
            a.eor_imm(W::X, X::X9, X::X9, 1);
            a.and(W::X, X::X11, X::X11, X::X9);
            a.movz(W::X, X::X9, dst.index() as u16, 0);
            a.cmp_imm(W::X, X::X9, Reg::R5.index() as u32);
            a.cset(W::X, X::X9, Cond::Eq);
            a.and(W::X, X::X11, X::X11, X::X9);
        }
    }
}

impl Kop for Rare {
    fn name(&self) -> &str {
        Clmul.name()
    }

    fn summary(&self) -> &str {
        Clmul.summary()
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        Clmul.forms()
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        Clmul.admits(site)
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        Clmul.model(site, state)
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        Clmul.proof(site)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        Clmul.x86_64(site, asm)
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        self.decide(asm, site.x("a"), site.reg("dst"));
        Clmul.aarch64(site, asm)?;
        asm.eor(W::X, site.x("dst"), site.x("dst"), X::X11);
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        Clmul.contract(site)
    }

    fn features(&self, arch: Arch) -> Features {
        Clmul.features(arch)
    }

    fn limits(&self, form: &Form) -> Limits {
        Limits { max_emit_bytes: 128, ..Clmul.limits(form) }
    }
}
