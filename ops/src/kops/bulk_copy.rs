// SPDX-License-Identifier: GPL-2.0-or-later
//! **bulk_copy**: bytes from `src` to `dst`, one after another from the lowest address, whatever overlaps.
//!
//! * short: 1..=16 bytes, from `src + 8 * src_slot` to `dst + 8 * dst_slot`. long: 24, 32 .. 128 bytes. within: 1..=8 bytes
//!   from `base + 2 * from` to `base + 2 * to`. Other lengths are several sites.
//! * Where the destination begins inside of the source, what is copied is what was copied before: such a copy is made byte by
//!   byte. Everywhere else wide loads, each before the stores behind it, do the same. Which of both is decided by a branch at
//!   run time, or not at all where the distance is known.
//! * x86-64: MOV through r10 and r11; long: MOVDQU through XMM0 and XMM1 with SSE2, and a loop in place of many byte moves.
//!   Intel SDM vol. 2, MOV and MOVDQU.
//! * AArch64: LDR and STR, or LDP and STP, through x9 to x12; long: through V0 to V3 with Advanced SIMD, and a loop in place
//!   of many byte moves. Arm ARM C6.2.
//! * `tmp` holds the last byte and is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Gpr as X, Mem as ArmMem, Scalar, V, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, MemoryUse, Vectors};
use crate::ebpf::{self, Insn, Reg};
use crate::kop::{KnownAnswer, KnownStore, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, Slot, State};
use crate::x86_64::{self, Cond, Gpr, Mem, Scale, Size, Xmm};

/// The operation.
pub struct BulkCopy;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let two = || {
        Layout::new()
            .register("dst", Role::Source)
            .register("src", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new(
            "short",
            "length bytes at dst + 8 dst_slot = those at src + 8 src_slot",
            two().unsigned("length", 1, 16).unsigned("dst_slot", 0, 3).unsigned("src_slot", 0, 3),
        ),
        Form::new("long", "8 words bytes at dst = those at src", two().unsigned("words", 3, 16)),
        Form::new(
            "within",
            "length bytes at base + 2 to = those at base + 2 from",
            Layout::new()
                .register("base", Role::Source)
                .register("tmp", Role::Temporary)
                .unsigned("length", 1, 8)
                .unsigned("to", 0, 15)
                .unsigned("from", 0, 15),
        ),
    ]
});

/// One end of a copy: a register, and a displacement in bytes.
type End = (Reg, i32);

/// What a site copies.
struct Copy {
    to: End,
    from: End,
    length: i32,
}

impl Copy {
    fn of(site: &Site) -> Self {
        let imm = |name| site.imm(name) as i32;
        let (to, from) = (|disp| (site.reg("dst"), disp), |disp| (site.reg("src"), disp));
        match &*site.form.name {
            "short" => {
                Copy { to: to(8 * imm("dst_slot")), from: from(8 * imm("src_slot")), length: imm("length") }
            }
            "long" => Copy { to: to(0), from: from(0), length: 8 * imm("words") },
            _ => {
                let base = site.reg("base");
                Copy { to: (base, 2 * imm("to")), from: (base, 2 * imm("from")), length: imm("length") }
            }
        }
    }

    /// How many of the distances from source to destination, from one byte on, let a byte be copied that was copied before.
    const fn overlapping(&self) -> i32 {
        self.length - 1
    }

    /// Whether the destination begins inside of the source, where that is known.
    fn overlaps(&self) -> Option<bool> {
        let distance = self.to.1 - self.from.1;
        let inside = (1..=self.overlapping()).contains(&distance);
        if self.to.0 == self.from.0 { Some(inside) } else { (self.length == 1).then_some(false) }
    }

    /// At most two accesses, by their distance and size, that cover up to 16 bytes together.
    fn pieces(&self) -> Vec<(i32, i32)> {
        let size = [8, 4, 2, 1].into_iter().find(|size| *size <= self.length).expect("a byte at least");
        let mut pieces = vec![(0, size)];
        if self.length > size {
            pieces.push((self.length - size, size));
        }
        pieces
    }
}

fn is_long(site: &Site) -> bool {
    site.form.name == "long"
}

/// Memory at a distance from an end, on x86-64.
fn at((reg, disp): End, distance: i32) -> Mem {
    Mem::at(crate::registers::x86_64(reg), disp + distance)
}

/// Memory at a distance from an end, on AArch64.
fn arm_at((reg, disp): End, distance: i32) -> ArmMem {
    ArmMem::offset(crate::registers::aarch64(reg), disp + distance)
}

/// What is right unless the destination begins inside of the source.
fn wide_x86_64(copy: &Copy, features: Features, a: &mut x86_64::Assembler) {
    if copy.length <= 16 {
        let size = |bytes| Size::ALL.into_iter().find(|size| size.bytes() == bytes as u32).expect("a size");
        let pieces: Vec<_> = copy.pieces().into_iter().zip([Gpr::R10, Gpr::R11]).collect();
        for &((distance, bytes), reg) in &pieces {
            match size(bytes) {
                small @ (Size::B1 | Size::B2) => a.movzx(Size::B4, reg, small, at(copy.from, distance)),
                size => a.mov(size, reg, at(copy.from, distance)),
            }
        }
        for &((distance, bytes), reg) in &pieces {
            a.mov(size(bytes), at(copy.to, distance), reg);
        }
        return;
    }
    let mut done = 0;
    if features.has(Feature::Sse2) {
        while copy.length - done >= 32 {
            a.movdqu(Xmm::ALL[0], at(copy.from, done));
            a.movdqu(Xmm::ALL[1], at(copy.from, done + 16));
            a.movdqu_store(at(copy.to, done), Xmm::ALL[0]);
            a.movdqu_store(at(copy.to, done + 16), Xmm::ALL[1]);
            done += 32;
        }
    }
    while copy.length - done >= 16 {
        a.mov(Size::B8, Gpr::R10, at(copy.from, done));
        a.mov(Size::B8, Gpr::R11, at(copy.from, done + 8));
        a.mov(Size::B8, at(copy.to, done), Gpr::R10);
        a.mov(Size::B8, at(copy.to, done + 8), Gpr::R11);
        done += 16;
    }
    if done < copy.length {
        a.mov(Size::B8, Gpr::R10, at(copy.from, done));
        a.mov(Size::B8, at(copy.to, done), Gpr::R10);
    }
}

/// The bytes one after another.
fn bytewise_x86_64(copy: &Copy, a: &mut x86_64::Assembler) {
    if copy.length <= 16 {
        for distance in 0..copy.length {
            a.movzx(Size::B4, Gpr::R10, Size::B1, at(copy.from, distance));
            a.mov(Size::B1, at(copy.to, distance), Gpr::R10);
        }
        return;
    }
    let [to, from] = [copy.to, copy.from].map(|end| at(end, 0).index(Gpr::R10, Scale::S1));
    let again = a.label();
    a.xor(Size::B4, Gpr::R10, Gpr::R10);
    a.bind(again);
    a.movzx(Size::B4, Gpr::R11, Size::B1, from);
    a.mov(Size::B1, to, Gpr::R11);
    a.add(Size::B4, Gpr::R10, 1);
    a.cmp(Size::B4, Gpr::R10, copy.length);
    a.jcc(Cond::B, again);
}

/// What is right unless the destination begins inside of the source.
fn wide_aarch64(copy: &Copy, features: Features, a: &mut aarch64::Assembler) {
    if copy.length <= 16 {
        let size =
            |bytes| aarch64::Size::ALL.into_iter().find(|size| size.bytes() == bytes as u32).expect("a size");
        let pieces: Vec<_> = copy.pieces().into_iter().zip([X::X9, X::X10]).collect();
        for &((distance, bytes), reg) in &pieces {
            a.load(size(bytes), reg, arm_at(copy.from, distance));
        }
        for &((distance, bytes), reg) in &pieces {
            a.store(size(bytes), reg, arm_at(copy.to, distance));
        }
        return;
    }
    let mut done = 0;
    if features.has(Feature::AdvSimd) {
        while copy.length - done >= 64 {
            a.v_load_pair(Scalar::Q, V::V0, V::V1, arm_at(copy.from, done));
            a.v_load_pair(Scalar::Q, V::V2, V::V3, arm_at(copy.from, done + 32));
            a.v_store_pair(Scalar::Q, V::V0, V::V1, arm_at(copy.to, done));
            a.v_store_pair(Scalar::Q, V::V2, V::V3, arm_at(copy.to, done + 32));
            done += 64;
        }
    }
    while copy.length - done >= 32 {
        a.ldp(W::X, X::X9, X::X10, arm_at(copy.from, done));
        a.ldp(W::X, X::X11, X::X12, arm_at(copy.from, done + 16));
        a.stp(W::X, X::X9, X::X10, arm_at(copy.to, done));
        a.stp(W::X, X::X11, X::X12, arm_at(copy.to, done + 16));
        done += 32;
    }
    if copy.length - done >= 16 {
        a.ldp(W::X, X::X9, X::X10, arm_at(copy.from, done));
        a.stp(W::X, X::X9, X::X10, arm_at(copy.to, done));
        done += 16;
    }
    if done < copy.length {
        a.ldr(W::X, X::X9, arm_at(copy.from, done));
        a.str(W::X, X::X9, arm_at(copy.to, done));
    }
}

/// The bytes one after another.
fn bytewise_aarch64(copy: &Copy, a: &mut aarch64::Assembler) {
    if copy.length <= 16 {
        for distance in 0..copy.length {
            a.ldrb(X::X9, arm_at(copy.from, distance));
            a.strb(X::X9, arm_at(copy.to, distance));
        }
        return;
    }
    let [to, from] = [copy.to, copy.from].map(|end| crate::registers::aarch64(end.0));
    let again = a.label();
    a.movz(W::X, X::X9, 0, 0);
    a.bind(again);
    a.ldrb(X::X10, ArmMem::index(from, X::X9));
    a.strb(X::X10, ArmMem::index(to, X::X9));
    a.add_imm(W::X, X::X9, X::X9, 1);
    a.cmp_imm(W::X, X::X9, copy.length as u32);
    a.b_cond(ArmCond::Lo, again);
}

impl Kop for BulkCopy {
    fn name(&self) -> &str {
        "bulk_copy"
    }

    fn summary(&self) -> &str {
        "copy bytes"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let copy = Copy::of(site);
        let address = |(reg, disp): End| state.get(reg).wrapping_add_signed(disp.into());
        let (to, from) = (address(copy.to), address(copy.from));
        Some((0..copy.length as u64).try_for_each(|at| {
            let byte = state.memory.load(from.wrapping_add(at), 1)?;
            state.memory.store(to.wrapping_add(at), 1, byte)
        }))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (copy, tmp) = (Copy::of(site), site.reg("tmp"));
        let byte = |distance| {
            let disp = |end: End| (end.1 + distance) as i16;
            [
                Insn::load(ebpf::Size::B1, tmp, copy.from.0, disp(copy.from)),
                Insn::store(ebpf::Size::B1, copy.to.0, disp(copy.to), tmp),
            ]
        };
        Ok((0..copy.length).flat_map(byte).collect())
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let copy = Copy::of(site);
        match copy.overlaps() {
            Some(true) => bytewise_x86_64(&copy, a),
            Some(false) => wide_x86_64(&copy, site.features, a),
            None => {
                let (bytewise, end) = (a.label(), a.label());
                // One less than the distance: unsigned, it is below the number of those that overlap.
                a.lea(Size::B8, Gpr::R10, at(copy.to, -copy.from.1 - 1));
                a.sub(Size::B8, Gpr::R10, crate::registers::x86_64(copy.from.0));
                a.cmp(Size::B8, Gpr::R10, copy.overlapping());
                a.jcc(Cond::B, bytewise);
                wide_x86_64(&copy, site.features, a);
                a.jmp(end);
                a.bind(bytewise);
                bytewise_x86_64(&copy, a);
                a.bind(end);
            }
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let copy = Copy::of(site);
        match copy.overlaps() {
            Some(true) => bytewise_aarch64(&copy, a),
            Some(false) => wide_aarch64(&copy, site.features, a),
            None => {
                let (wide, end) = (a.label(), a.label());
                let [to, from] = [copy.to, copy.from].map(|end| crate::registers::aarch64(end.0));
                // One less than the distance: unsigned, it is below the number of those that overlap.
                let add = copy.to.1 - copy.from.1 - 1;
                a.sub(W::X, X::X9, to, from);
                if add < 0 {
                    a.sub_imm(W::X, X::X9, X::X9, add.unsigned_abs());
                } else {
                    a.add_imm(W::X, X::X9, X::X9, add.unsigned_abs());
                }
                a.cmp_imm(W::X, X::X9, copy.overlapping() as u32);
                a.b_cond(ArmCond::Hs, wide);
                bytewise_aarch64(&copy, a);
                a.b(end);
                a.bind(wide);
                wide_aarch64(&copy, site.features, a);
                a.bind(end);
            }
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let copy = Copy::of(site);
        let touched =
            |access, (base, offset): End| MemoryUse { access, base, offset, size: copy.length as u32 };
        let wide = |feature, least| is_long(site) && site.features.has(feature) && copy.length >= least;
        let known = copy.overlaps() == Some(true);
        let vectors = Vectors {
            x86_64: if !known && wide(Feature::Sse2, 32) { 0b11 } else { 0 },
            aarch64: if !known && wide(Feature::AdvSimd, 64) { 0b1111 } else { 0 },
        };
        Contract {
            dead: site.form.layout.temporaries(&site.operands),
            memory: vec![touched(Access::Read, copy.from), touched(Access::Write, copy.to)],
            vectors,
        }
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Sse2]),
            Arch::Aarch64 => Features::of(&[Feature::AdvSimd]),
        }
    }

    fn limits(&self, form: &Form) -> Limits {
        match &*form.name {
            "long" => Limits { max_insn_cnt: 256, max_emit_bytes: 224 },
            _ => Limits { max_insn_cnt: 32, max_emit_bytes: 208 },
        }
    }

    fn known_stores(&self) -> Vec<KnownStore> {
        let store = |form, operands, before, stored| KnownStore {
            answer: KnownAnswer {
                form,
                operands,
                before,
                memory: &[("window+0x100", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])],
                after: &[],
            },
            stored,
        };
        let apart: &'static [(Reg, u64)] = &[(Reg::R1, WINDOW + 0x200), (Reg::R2, WINDOW + 0x100)];
        let one_on: &'static [(Reg, u64)] = &[(Reg::R1, WINDOW + 0xf9), (Reg::R2, WINDOW + 0x100)];
        vec![
            store(
                "short",
                "dst=r1 src=r2 tmp=r0 length=11 dst_slot=1 src_slot=0",
                apart,
                &[("window+0x208", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])],
            ),
            // The destination is a byte further on: each byte is the one that was copied before.
            store(
                "short",
                "dst=r1 src=r2 tmp=r0 length=5 dst_slot=1 src_slot=0",
                one_on,
                &[("window+0x101", &[1, 1, 1, 1, 1, 7])],
            ),
            store(
                "long",
                "dst=r1 src=r2 tmp=r0 words=3",
                apart,
                &[("window+0x200", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])],
            ),
            store(
                "within",
                "base=r2 tmp=r0 length=6 to=1 from=0",
                apart,
                &[("window+0x102", &[1, 2, 1, 2, 1, 2, 9])],
            ),
            store(
                "within",
                "base=r2 tmp=r0 length=6 to=0 from=1",
                apart,
                &[("window+0x100", &[3, 4, 5, 6, 7, 8, 7])],
            ),
        ]
    }
}

/// Where the window of known answers is.
const WINDOW: u64 = Slot::of_batch(0).window();
