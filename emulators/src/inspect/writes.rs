// SPDX-License-Identifier: GPL-2.0-or-later
//! Which registers the instructions of an emit write, by their encodings alone: whether an instruction is reached, and
//! whether a register has its old value again at the end, is for the engines to find.

use kop_ops::Arch;
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::registers;
use kop_ops::x86_64;

/// The registers that instructions write, each whole or in part.
///
/// The stack pointer is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// General registers by number: RAX, RCX, .. R15 or X0..X30.
    pub general: u32,
    /// XMM0..XMM31 or V0..V31 by number, whatever the width.
    pub vectors: u32,
    /// K0..K7 or P0..P15 by number.
    pub predicates: u16,
    /// The arithmetic flags.
    pub flags: bool,
}

impl Writes {
    /// What either of two writes.
    #[must_use]
    pub const fn union(self, other: Writes) -> Writes {
        Writes {
            general: self.general | other.general,
            vectors: self.vectors | other.vectors,
            predicates: self.predicates | other.predicates,
            flags: self.flags | other.flags,
        }
    }

    /// The eBPF registers among them, by the register map of `arch`.
    pub fn ebpf(self, arch: Arch) -> RegSet {
        Reg::ALL.into_iter().filter(|&reg| self.general >> native(arch, reg) & 1 == 1).collect()
    }

    /// The names of all others: those that an emit may clobber, in the order of their numbers; those that it must preserve;
    /// `flags`; SIMD and predicate registers.
    pub fn others(self, arch: Arch) -> Vec<Written> {
        let beyond = Reg::ALL.into_iter().fold(self.general, |left, reg| left & !(1 << native(arch, reg)));
        let scratch = scratch(arch);
        let general = |bits: u32, preserved| {
            numbers(bits).map(move |number| Written { name: general_name(arch, number), preserved })
        };
        let (vector, predicate) = match arch {
            Arch::X86_64 => ("xmm", "k"),
            Arch::Aarch64 => ("v", "p"),
        };
        let named = |prefix: &'static str, bits| {
            numbers(bits).map(move |number| Written { name: format!("{prefix}{number}"), preserved: false })
        };
        let flags = self.flags.then(|| Written { name: "flags".to_owned(), preserved: false });
        general(beyond & scratch, false)
            .chain(general(beyond & !scratch, true))
            .chain(flags)
            .chain(named(vector, self.vectors))
            .chain(named(predicate, self.predicates.into()))
            .collect()
    }
}

/// A register beyond those of eBPF that is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Whether an emit must put its old value back.
    pub preserved: bool,
}

fn numbers(bits: u32) -> impl Iterator<Item = u32> {
    (0..u32::BITS).filter(move |number| bits >> number & 1 == 1)
}

fn native(arch: Arch, reg: Reg) -> u32 {
    match arch {
        Arch::X86_64 => registers::x86_64(reg).code().into(),
        Arch::Aarch64 => registers::aarch64(reg).number(),
    }
}

fn scratch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => registers::X86_64_SCRATCH.iter().fold(0, |bits, reg| bits | 1 << reg.code()),
        Arch::Aarch64 => registers::AARCH64_SCRATCH.iter().fold(0, |bits, reg| bits | 1 << reg.number()),
    }
}

fn general_name(arch: Arch, number: u32) -> String {
    match arch {
        Arch::X86_64 => x86_64::Gpr::ALL[number as usize].to_string(),
        Arch::Aarch64 => format!("x{number}"),
    }
}

/// What the instructions of `bytes` write, whichever rules they break; what does not decode writes nothing.
pub fn writes(arch: Arch, bytes: &[u8]) -> Writes {
    match arch {
        Arch::X86_64 => super::x86_64::writes(bytes),
        Arch::Aarch64 => super::aarch64::writes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::aarch64::{self as a64, Width};
    use kop_ops::choices::{Choices, Seeded};
    use kop_ops::{Catalog, EmitRequest, Pass, Role, Site};

    fn names(arch: Arch, bytes: &[u8]) -> String {
        let writes = writes(arch, bytes);
        let others = writes
            .others(arch)
            .into_iter()
            .map(|written| if written.preserved { format!("{}!", written.name) } else { written.name });
        let ebpf = writes.ebpf(arch);
        ebpf.iter().map(|reg| reg.to_string()).chain(others).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn x86_64_instructions_write_what_the_manual_says() {
        // Intel SDM vol. 2; eBPF registers by the register map, `!` behind what is to be preserved.
        for (bytes, expected) in [
            (&[0x48, 0x89, 0xd8][..], "r0"),                     // mov rax, rbx
            (&[0x48, 0x01, 0xd8], "r0 flags"),                   // add rax, rbx
            (&[0x48, 0x39, 0xd8], "flags"),                      // cmp rax, rbx
            (&[0x48, 0x89, 0x03], ""),                           // mov [rbx], rax
            (&[0x49, 0x89, 0xca], "r10"),                        // mov r10, rcx
            (&[0x4d, 0x89, 0xe1], "r9!"),                        // mov r9, r12
            (&[0x51, 0x59], "r4"),                               // push rcx; pop rcx
            (&[0x48, 0x87, 0xca], "r3 r4"),                      // xchg rdx, rcx
            (&[0x48, 0xd3, 0xc2], "r3 flags"),                   // rol rdx, cl
            (&[0xf3, 0xa4], "r1 r2 r4"),                         // rep movsb
            (&[0x48, 0xf7, 0xe1], "r0 r3 flags"),                // mul rcx
            (&[0x48, 0x0f, 0x44, 0xc3], "r0"),                   // cmove rax, rbx
            (&[0xb0, 0x01], "r0"),                               // mov al, 1
            (&[0x66, 0x48, 0x0f, 0x6e, 0xc8], "xmm1"),           // movq xmm1, rax
            (&[0x66, 0x48, 0x0f, 0x7e, 0xc8], "r0"),             // movq rax, xmm1
            (&[0xc5, 0xfc, 0x28, 0xc8], "xmm1"),                 // vmovaps ymm1, ymm0
            (&[0xc5, 0xf8, 0x90, 0xd1], "k2"),                   // kmovw k2, k1
            (&[0x48, 0x83, 0xc4, 0x08], "flags"),                // add rsp, 8
            (&[0x48, 0x89, 0xd8, 0x06, 0x48, 0x89, 0xd9], "r0"), // mov rax, rbx; (bad)
        ] {
            assert_eq!(names(Arch::X86_64, bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn aarch64_instructions_write_what_the_manual_says() {
        // Arm ARM, chapters C6 and C7; words by GNU as.
        for (word, expected) in [
            (0xaa0203e0, "r1"),             // mov x0, x2
            (0x8b0100e7, "r0"),             // add x7, x7, x1
            (0xab0100e7, "r0 flags"),       // adds x7, x7, x1
            (0xeb01001f, "flags"),          // cmp x0, x1
            (0xf2400c1f, "flags"),          // tst x0, #0xf
            (0xfa410004, "flags"),          // ccmp x0, x1, #4, eq
            (0xda000021, "r2"),             // sbc x1, x1, x0
            (0xba000020, "r1 flags"),       // adcs x0, x1, x0
            (0x910043ff, ""),               // add sp, sp, #16
            (0x910003e9, "x9"),             // mov x9, sp
            (0xd2800032, "x18!"),           // mov x18, #1
            (0x9a821023, "r4"),             // csel x3, x1, x2, ne
            (0xdac00042, "r3"),             // rbit x2, x2
            (0x9b020c24, "r5"),             // madd x4, x1, x2, x3
            (0xd3431834, "r7"),             // ubfx x20, x1, #3, #4
            (0xf2a000b5, "r8"),             // movk x21, #5, lsl #16
            (0xf9400009, "x9"),             // ldr x9, [x0]
            (0xf9000009, ""),               // str x9, [x0]
            (0xa8c10c02, "r1 r3 r4"),       // ldp x2, x3, [x0], #16
            (0xa9bf0fe2, ""),               // stp x2, x3, [sp, #-16]!
            (0xf8408409, "r1 x9"),          // ldr x9, [x0], #8
            (0xf8008c09, "r1"),             // str x9, [x0, #8]!
            (0xf8617809, "x9"),             // ldr x9, [x0, x1, lsl #3]
            (0xb89fd009, "x9"),             // ldursw x9, [x0, #-3]
            (0x3dc00001, "v1"),             // ldr q1, [x0]
            (0x3d800001, ""),               // str q1, [x0]
            (0xac810400, "r1"),             // stp q0, q1, [x0], #32
            (0xacc10400, "r1 v0 v1"),       // ldp q0, q1, [x0], #32
            (0x4c407000, "v0"),             // ld1 {v0.16b}, [x0]
            (0x4c40a01f, "v0 v31"),         // ld1 {v31.16b, v0.16b}, [x0]
            (0x4cdf2000, "r1 v0 v1 v2 v3"), // ld1 {v0.16b-v3.16b}, [x0], #64
            (0x0d402404, "v4 v5 v6"),       // ld3 {v4.b-v6.b}[1], [x0]
            (0x0d40c009, "v9"),             // ld1r {v9.8b}, [x0]
            (0x4c9f7000, "r1"),             // st1 {v0.16b}, [x0], #16
            (0xf8210002, "r3"),             // ldadd x1, x2, [x0]
            (0xf821001f, ""),               // stadd x1, [x0]
            (0xf8e18002, "r3"),             // swpal x1, x2, [x0]
            (0xc8a17c02, "r2"),             // cas x1, x2, [x0]
            (0x48207c82, "r1 r2"),          // casp x0, x1, x2, x3, [x4]
            (0xc85f7c09, "x9"),             // ldxr x9, [x0]
            (0xc87fa809, "x9 x10"),         // ldaxp x9, x10, [x0]
            (0xc80a7c09, "x10"),            // stxr w10, x9, [x0]
            (0xc89ffc09, ""),               // stlr x9, [x0]
            (0xc8dffc09, "x9"),             // ldar x9, [x0]
            (0x9e660000, "r1"),             // fmov x0, d0
            (0x9e670000, "v0"),             // fmov d0, x0
            (0x9e780041, "r2"),             // fcvtzs x1, d2
            (0x4e083c01, "r2"),             // umov x1, v0.d[0]
            (0x4e081c01, "v1"),             // ins v1.d[0], x0
            (0x0e205801, "v1"),             // cnt v1.8b, v0.8b
            (0x0e31b823, "v3"),             // addv b3, v1.8b
            (0x0ee2e023, "v3"),             // pmull v3.1q, v1.1d, v2.1d
            (0x1e602020, "flags"),          // fcmp d1, d0
            (0x1e600420, "flags"),          // fccmp d1, d0, #0, eq
            (0xd53b4209, "x9"),             // mrs x9, nzcv
            (0xd51b4209, "flags"),          // msr nzcv, x9
            (0x54000040, ""),               // b.eq .+8
            (0xb4000040, ""),               // cbz x0, .+8
            (0x36180040, ""),               // tbz x0, #3, .+8
            (0xf9800000, ""),               // prfm pldl1keep, [x0]
            (0xd503201f, ""),               // nop
            (0xd5033bbf, ""),               // dmb ish
            (0x1ac34041, "r2"),             // crc32b w1, w2, w3
            (0x0420e3e9, "x9"),             // cntb x9
            (0x04a10000, "v0"),             // add z0.s, z0.s, z1.s
            (0xa400a002, "v2"),             // ld1b {z2.b}, p0/z, [x0]
            (0xe400e002, ""),               // st1b {z2.b}, p0, [x0]
            (0x25221c21, "flags p1"),       // whilelo p1.b, x1, x2
        ] {
            assert_eq!(names(Arch::Aarch64, &u32::to_le_bytes(word)), expected, "{word:#010x}");
        }
    }

    #[test]
    fn emits_of_the_catalog_write_their_destinations_and_the_vectors_they_declare() {
        let catalog = Catalog::einsn();
        let mut choices = Seeded::new(11);
        for (kop, form) in catalog.forms() {
            for arch in Arch::ALL {
                let features = kop.features(arch);
                let (mut named, mut seen) = (RegSet::EMPTY, RegSet::EMPTY);
                for _ in 0..400 {
                    let operands = form.layout.combination(choices.below(form.layout.combinations()));
                    let Ok(payload) = form.layout.encode(&operands) else { continue };
                    let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
                    let Ok(emission) = kop.emit(form, &request) else { continue };
                    let site = Site { form, operands, features };
                    let written = writes(arch, &emission.bytes);
                    let destinations = form.layout.fields().iter();
                    let destinations: RegSet = destinations
                        .filter(|field| field.role() == Some(Role::Destination))
                        .map(|field| site.reg(&field.name))
                        .collect();
                    named = named.union(destinations);
                    seen = seen.union(written.ebpf(arch).intersect(destinations));
                    let declared = kop.contract(&site).vectors;
                    let declared = [u32::from(declared.x86_64), declared.aarch64][arch as usize];
                    assert_eq!(written.vectors & !declared, 0, "{} {} {arch}", kop.name(), form.name);
                }
                // What does nothing to a state has nothing to write.
                let named = if kop.unseen_purpose().is_some() { RegSet::EMPTY } else { named };
                assert_eq!(seen, named, "{} {} {arch}", kop.name(), form.name);
            }
        }
    }

    #[test]
    fn every_general_destination_is_seen() {
        for number in 0..31 {
            let dst = a64::Gpr::from_number(number).expect("a register");
            let mut asm = a64::Assembler::new();
            asm.mov(Width::X, dst, a64::Gpr::X0);
            let bytes = asm.finish().expect("encodes").bytes;
            assert_eq!(writes(Arch::Aarch64, &bytes).general, 1 << number);
        }
    }
}
