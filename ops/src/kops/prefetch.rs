// SPDX-License-Identifier: GPL-2.0-or-later
//! **prefetch**: nothing that registers or memory show; the line of memory at `base + off` is asked for.
//!
//! * The proof moves `base` to itself, so that the verifier wants it to hold something. Wherever it points, nothing faults.
//! * `off` is -256..=255, a few lines in either direction.
//! * x86-64: PREFETCHT0 (keep), PREFETCHNTA (stream). Intel SDM vol. 2, PREFETCHh.
//! * AArch64: PRFM PLDL1KEEP, PRFM PLDL1STRM; PRFUM where the offset is not a multiple of eight. Arm ARM C6.2.

use std::sync::LazyLock;

use crate::aarch64::{self, Mem as ArmMem, Prefetch as ArmPrefetch};
use crate::ebpf::{Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Mem, PrefetchOp};

/// The operation.
pub struct Prefetch;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || Layout::new().register("base", Role::Destination).signed("off", 9);
    vec![
        Form::new("keep", "base = base; the line at base + off is wanted soon, and again", layout()),
        Form::new("stream", "base = base; the line at base + off is wanted soon, and once", layout()),
    ]
});

fn is_kept(site: &Site) -> bool {
    site.form.name == "keep"
}

impl Kop for Prefetch {
    fn name(&self) -> &str {
        "prefetch"
    }

    fn summary(&self) -> &str {
        "ask for a line of memory ahead of its use"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn unseen_purpose(&self) -> Option<&str> {
        Some("memory is in a cache when it is accessed later")
    }

    fn model(&self, _site: &Site, _state: &mut State) -> Option<Result<(), Fault>> {
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        Ok(vec![Insn::mov64(site.reg("base"), site.reg("base"))])
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let op = if is_kept(site) { PrefetchOp::T0 } else { PrefetchOp::Nta };
        a.prefetch(op, Mem::at(site.gpr("base"), site.imm("off") as i32));
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let op = if is_kept(site) { ArmPrefetch::PldL1Keep } else { ArmPrefetch::PldL1Strm };
        a.prfm(op, ArmMem::offset(site.x("base"), site.imm("off") as i32));
        Ok(())
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 1, max_emit_bytes: 8 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        // Not even where there is no memory.
        let nothing: &'static [(Reg, u64)] = &[(Reg::R3, 0x7fff_0000_0000_0123), (Reg::R0, 7)];
        let answer =
            |form, operands| KnownAnswer { form, operands, before: nothing, memory: &[], after: nothing };
        vec![answer("keep", "base=r3 off=-256"), answer("stream", "base=r3 off=255")]
    }
}
