// SPDX-License-Identifier: GPL-2.0-or-later
//! A test that cannot fail is none: an emit with a mistake is found, and the report says what is wrong.

use kop_harness::assert_equivalent;
use kop_harness::ops::x86_64::{Assembler, Size};
use kop_harness::ops::{Arch, Catalog, Fault, Features, Form, Kop, Reject, Site, State, aarch64, ebpf};
use own_operation::AndNot;

/// [`AndNot`] with an x86-64 emit that builds the inverse of `b` in `dst`, which may be `a`.
struct Hasty;

impl Kop for Hasty {
    fn name(&self) -> &str {
        AndNot.name()
    }

    fn summary(&self) -> &str {
        AndNot.summary()
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        AndNot.forms()
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        AndNot.model(site, state)
    }

    fn proof(&self, site: &Site) -> Result<Vec<ebpf::Insn>, Reject> {
        AndNot.proof(site)
    }

    fn x86_64(&self, site: &Site, asm: &mut Assembler) -> Result<(), Reject> {
        let size = if site.form.name == "reg64" { Size::B8 } else { Size::B4 };
        asm.mov(size, site.gpr("dst"), site.gpr("b"));
        asm.not(size, site.gpr("dst"));
        asm.and(size, site.gpr("dst"), site.gpr("a"));
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        AndNot.aarch64(site, asm)
    }

    fn features(&self, _arch: Arch) -> Features {
        Features::NONE
    }
}

#[test]
#[should_panic(expected = "register divergence: and_not reg64 x86_64")]
fn overwriting_a_source_is_reported() {
    assert_equivalent(&Catalog::with(&Hasty));
}
