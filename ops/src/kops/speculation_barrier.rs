// SPDX-License-Identifier: GPL-2.0-or-later
//! **speculation_barrier**: nothing that registers or memory show; no later instruction runs, not even by speculation, before
//! it is known that it does.
//!
//! * The proof moves `value` to itself: what was checked before the site and is used behind it.
//! * x86-64: LFENCE. Intel SDM vol. 2, LFENCE.
//! * AArch64: SB with FEAT_SB, otherwise DSB NSH and ISB. Arm ARM C6.2, SB; the Linux kernel's `spec_bar()` is the same.

use std::sync::LazyLock;

use crate::aarch64::{self, BarrierScope};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64;

/// The operation.
pub struct SpeculationBarrier;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = Layout::new().register("value", Role::Destination);
    vec![Form::new("all", "value = value; what follows runs once that is certain", layout)]
});

impl Kop for SpeculationBarrier {
    fn name(&self) -> &str {
        "speculation_barrier"
    }

    fn summary(&self) -> &str {
        "let nothing that follows run speculatively"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn unseen_purpose(&self) -> Option<&str> {
        Some("instructions behind the site do not run before it is known that they do")
    }

    fn model(&self, _site: &Site, _state: &mut State) -> Option<Result<(), Fault>> {
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        Ok(vec![Insn::mov64(site.reg("value"), site.reg("value"))])
    }

    fn x86_64(&self, _site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        a.lfence();
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        if site.features.has(Feature::Sb) {
            a.sb();
        } else {
            a.dsb(BarrierScope::Nsh);
            a.isb();
        }
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::NONE,
            Arch::Aarch64 => Features::of(&[Feature::Sb]),
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 1, max_emit_bytes: 8 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let nothing: &'static [(Reg, u64)] = &[(Reg::R3, 0x8000_0000_0000_0123), (Reg::R0, 7)];
        vec![KnownAnswer { form: "all", operands: "value=r3", before: nothing, memory: &[], after: nothing }]
    }
}
