// SPDX-License-Identifier: GPL-2.0-or-later
//! Emits whose results are right and that break the rules around them: preserved registers, the stack, where control goes,
//! what is executed, and registers and memory that are none of theirs.

use kop_ops::Arch;
use kop_ops::aarch64::{Gpr as X, Insn as A, Mem as ArmMem, Size as ASize, V, Width as W};
use kop_ops::ebpf::Reg;
use kop_ops::kop::{Emission, Pass};
use kop_ops::x86_64::{Gpr, Mem, Nullary, Size, Xmm};
use kop_reports::{Blame, Kind};

use super::code::{arm, before, each, names, x86};
use super::faulty::{Call, Mistake};
use super::{At, Planted, aarch64, planted, x86_64};

const ROTATE_IMM64: At = ("rotate", "imm64");
const ROTATE_IMM32: At = ("rotate", "imm32");
const ROTATE_REG64: At = ("rotate", "reg64");
const ROTATE_REG32: At = ("rotate", "reg32");
const TEST64: At = ("select", "test64");
const TEST32: At = ("select", "test32");
const POP64: At = ("popcount", "pop64");
const POP32: At = ("popcount", "pop32");
const UNSIGNED: At = ("extract", "unsigned");
const SIGNED: At = ("extract", "signed");
const BE32: At = ("swapped_load", "be32");
const BE64: At = ("swapped_load", "be64");
const LEADING64: At = ("count_zeros", "leading64");
const LEADING32: At = ("count_zeros", "leading32");
const TRAILING64: At = ("count_zeros", "trailing64");
const LOW: At = ("clmul", "low");
const HIGH: At = ("clmul", "high");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_registers();
    faults.extend(x86_64_stack());
    faults.extend(x86_64_control());
    faults.extend(aarch64_registers());
    faults.extend(aarch64_stack());
    faults.extend(aarch64_control());
    faults
}

/// A fault that shows in the bytes of an emit and not in its instructions.
fn raw(
    at: At,
    arch: Arch,
    name: &'static str,
    about: &'static str,
    change: fn(&Call, &mut Emission),
) -> Planted {
    planted(at, arch, name, (Kind::Frame, Blame::Emit), about, Mistake::Emission(change))
}

/// Adds bytes at the end.
fn add(call: &Call, emission: &mut Emission, bytes: &[u8]) {
    emission.size += bytes.len();
    if call.request.pass == Pass::Write {
        emission.bytes.extend_from_slice(bytes);
    }
}

fn x86_64_registers() -> Vec<Planted> {
    vec![
        x86_64(
            UNSIGNED,
            "frame-r12-as-scratch",
            Kind::Frame,
            "r12 holds no eBPF register, so that it looks free",
            |site, code| {
                code.extend(x86(|a| a.mov(Size::B8, Gpr::R12, site.gpr("src"))));
            },
        ),
        x86_64(
            POP64,
            "frame-r9-as-scratch",
            Kind::Frame,
            "r9 is the JIT's own and is taken for scratch like r10 and r11",
            |site, code| {
                before(code, x86(|a| a.mov(Size::B8, Gpr::R9, site.gpr("src"))));
            },
        ),
        x86_64(
            ROTATE_IMM32,
            "frame-r9-negated",
            Kind::Frame,
            "over an even number of states r9 is what it was",
            |_, code| {
                code.extend(x86(|a| a.neg(Size::B8, Gpr::R9)));
            },
        ),
        x86_64(
            TEST64,
            "frame-pops-in-the-order-of-pushes",
            Kind::Frame,
            "two preserved registers are saved and restored, but change places",
            |_, code| {
                before(
                    code,
                    x86(|a| {
                        a.pushq(Gpr::R12);
                        a.pushq(Gpr::R9);
                    }),
                );
                code.extend(x86(|a| {
                    a.popq(Gpr::R12);
                    a.popq(Gpr::R9);
                }));
            },
        ),
        x86_64(
            UNSIGNED,
            "frame-control-word-in-rcx",
            Kind::Register,
            "the control word of BEXTR is built in r4, which no operand names",
            |site, code| {
                use kop_ops::x86_64::{Insn as I, Operand, Rm};
                if names(site, Reg::R4) {
                    return;
                }
                each(code, |insn| match insn {
                    I::Mov { dst, src: Operand::Imm(_), .. } => *dst = Rm::Reg(Gpr::Rcx),
                    I::BmiRmv { control, .. } => *control = Gpr::Rcx,
                    _ => (),
                });
            },
        ),
        x86_64(
            POP64,
            "frame-upper-half-of-r7",
            Kind::Register,
            "a 32-bit move of r7 to itself, meant as a no-operation, where no operand names r7",
            |site, code| {
                if !names(site, Reg::R7) {
                    code.extend(x86(|a| a.mov(Size::B4, Gpr::R13, Gpr::R13)));
                }
            },
        ),
        x86_64(
            TEST32,
            "frame-pointer-moves",
            Kind::Register,
            "rbp is the native frame pointer elsewhere and r10 here",
            |_, code| {
                code.extend(x86(|a| a.lea(Size::B8, Gpr::Rbp, Mem::at(Gpr::Rbp, 8))));
            },
        ),
        x86_64(
            LOW,
            "frame-third-simd-register",
            Kind::Frame,
            "XMM2 is cleared, and the contract declares two SIMD registers",
            |_, code| {
                let xmm2 = Xmm::ALL[2];
                code.extend(x86(|a| a.pxor(xmm2, xmm2)));
            },
        ),
        planted(
            HIGH,
            Arch::X86_64,
            "frame-simd-registers-undeclared",
            (Kind::Frame, Blame::Emit),
            "the contract was copied from an operation without SIMD",
            Mistake::Contract(|_, contract| contract.vectors.x86_64 = 0),
        ),
        x86_64(
            ROTATE_IMM64,
            "frame-undeclared-feature",
            Kind::Frame,
            "an ANDN in an emit that declares BMI2 alone: right on all CPUs at hand",
            |_, code| {
                code.extend(x86(|a| a.andn(Size::B4, Gpr::R10, Gpr::Rax, Gpr::Rax)));
            },
        ),
    ]
}

fn x86_64_stack() -> Vec<Planted> {
    vec![
        x86_64(
            LEADING64,
            "frame-push-without-pop",
            Kind::Frame,
            "the source is saved on the stack and never taken off",
            |site, code| {
                before(code, x86(|a| a.pushq(site.gpr("src"))));
            },
        ),
        x86_64(
            SIGNED,
            "frame-red-zone",
            Kind::Frame,
            "the System V ABI's red zone, which kernel code does not have",
            |site, code| {
                code.extend(x86(|a| a.mov(Size::B8, Mem::at(Gpr::Rsp, -8), site.gpr("dst"))));
            },
        ),
        x86_64(
            POP32,
            "frame-red-zone-through-r10",
            Kind::Frame,
            "the red zone, addressed through a copy of rsp",
            |_, code| {
                code.extend(x86(|a| {
                    a.mov(Size::B8, Gpr::R10, Gpr::Rsp);
                    a.mov(Size::B8, Mem::at(Gpr::R10, -16), Gpr::Rax);
                }));
            },
        ),
        x86_64(
            HIGH,
            "frame-reads-the-red-zone",
            Kind::Frame,
            "reads below rsp through a copy: nothing changes anywhere",
            |_, code| {
                before(
                    code,
                    x86(|a| {
                        a.mov(Size::B8, Gpr::R10, Gpr::Rsp);
                        a.mov(Size::B8, Gpr::R11, Mem::at(Gpr::R10, -8));
                    }),
                );
            },
        ),
        x86_64(
            TEST32,
            "frame-spills-into-the-caller",
            Kind::Frame,
            "stores above rsp without having made room",
            |site, code| {
                before(code, x86(|a| a.mov(Size::B8, Mem::at(Gpr::Rsp, 8), site.gpr("cond"))));
            },
        ),
        x86_64(
            TRAILING64,
            "frame-reads-the-caller",
            Kind::Frame,
            "reads what lies at rsp: nothing changes anywhere",
            |_, code| {
                code.extend(x86(|a| a.mov(Size::B8, Gpr::R11, Mem::at(Gpr::Rsp, 0))));
            },
        ),
        x86_64(
            POP64,
            "frame-spills-to-the-program-stack",
            Kind::Memory,
            "rbp is taken for the native frame pointer: the store goes to the program's stack",
            |site, code| {
                before(code, x86(|a| a.mov(Size::B8, Mem::at(Gpr::Rbp, -8), site.gpr("src"))));
            },
        ),
        x86_64(
            TEST64,
            "frame-touches-the-program-stack",
            Kind::Memory,
            "the program's stack is read and written back as it was",
            |_, code| {
                before(
                    code,
                    x86(|a| {
                        a.mov(Size::B8, Gpr::R11, Mem::at(Gpr::Rbp, -16));
                        a.mov(Size::B8, Mem::at(Gpr::Rbp, -16), Gpr::R11);
                    }),
                );
            },
        ),
    ]
}

fn x86_64_control() -> Vec<Planted> {
    vec![
        x86_64(
            BE64,
            "frame-direction-flag",
            Kind::Frame,
            "STD without CLD: no harm until the kernel's next string instruction",
            |_, code| {
                code.extend(x86(|a| a.push(kop_ops::x86_64::Insn::Nullary(Nullary::Std))));
            },
        ),
        x86_64(
            ROTATE_REG32,
            "frame-restores-flags",
            Kind::Frame,
            "PUSHF and POPF around the code: flags are nobody's, and POPF loads more than those",
            |_, code| {
                before(code, x86(kop_ops::x86_64::Assembler::pushfq));
                code.extend(x86(kop_ops::x86_64::Assembler::popfq));
            },
        ),
        x86_64(
            ROTATE_IMM64,
            "frame-jumps-out",
            Kind::Frame,
            "a jump to a common tail that this site does not have",
            |site, code| {
                if site.imm("amount") == 0 {
                    code.extend(x86(|a| a.jmp_rel(16)));
                }
            },
        ),
        x86_64(
            ROTATE_IMM64,
            "frame-loops-forever",
            Kind::Fault,
            "a branch to itself in one case of many: r5 by 37",
            |site, code| {
                if (site.reg("dst"), site.imm("amount")) == (Reg::R5, 37) {
                    code.extend(x86(|a| {
                        let here = a.label();
                        a.bind(here);
                        a.jmp(here);
                    }));
                }
            },
        ),
        x86_64(
            TEST64,
            "frame-jumps-through-a-register",
            Kind::Frame,
            "an indirect jump: no place for one in a kernel with retpolines",
            |site, code| {
                if site.reg("a") == site.reg("b") {
                    code.extend(x86(|a| a.jmp_rm(Gpr::R11)));
                }
            },
        ),
        x86_64(
            POP32,
            "frame-system-call",
            Kind::Frame,
            "SYSCALL, which returns as if nothing had been in a user-space test",
            |_, code| {
                code.extend(x86(kop_ops::x86_64::Assembler::syscall));
            },
        ),
        x86_64(
            BE32,
            "frame-returns",
            Kind::Frame,
            "RET at the end, as of a function: the emit has to fall through",
            |_, code| {
                code.extend(x86(kop_ops::x86_64::Assembler::ret));
            },
        ),
        raw(
            LEADING32,
            Arch::X86_64,
            "frame-reads-the-clock",
            "RDTSC left over from a measurement",
            |call, emission| {
                // Into r10 and r11 by way of rax and rdx, which are restored: the results stay right.
                const CODE: [u8; 14] =
                    [0x49, 0x89, 0xc2, 0x49, 0x89, 0xd3, 0x0f, 0x31, 0x4c, 0x89, 0xd0, 0x4c, 0x89, 0xda];
                if emission.size + CODE.len() <= call.limit {
                    add(call, emission, &CODE);
                }
            },
        ),
        raw(
            UNSIGNED,
            Arch::X86_64,
            "frame-no-instruction",
            "a byte that is PUSH ES in 32-bit mode and nothing in 64-bit mode",
            |call, emission| {
                if emission.size < call.limit {
                    add(call, emission, &[0x06]);
                }
            },
        ),
        raw(
            ROTATE_IMM64,
            Arch::X86_64,
            "frame-last-byte-is-missing",
            "the immediate byte is counted in neither pass",
            |_, emission| {
                emission.size -= 1;
                emission.bytes.pop();
            },
        ),
    ]
}

fn aarch64_registers() -> Vec<Planted> {
    vec![
        aarch64(
            TEST64,
            "frame-x18-as-scratch",
            Kind::Frame,
            "x18 is scratch by the base ABI and the kernel's shadow stack pointer",
            |site, code| {
                before(code, arm(|a| a.mov(W::X, X::X18, site.x("cond"))));
            },
        ),
        aarch64(ROTATE_IMM64, "frame-x26-as-scratch", Kind::Frame, "x26 belongs to the JIT", |site, code| {
            before(code, arm(|a| a.mov(W::X, X::X26, site.x("src"))));
        }),
        aarch64(
            LEADING64,
            "frame-x5-as-scratch",
            Kind::Frame,
            "x5 is an argument register that no eBPF register uses: not declared scratch either",
            |site, code| {
                before(code, arm(|a| a.mov(W::X, X::X5, site.x("src"))));
            },
        ),
        aarch64(
            UNSIGNED,
            "frame-x14-negated",
            Kind::Frame,
            "over an even number of states x14 is what it was",
            |_, code| {
                code.extend(arm(|a| a.neg(W::X, X::X14, X::X14)));
            },
        ),
        aarch64(
            POP64,
            "frame-link-register",
            Kind::Frame,
            "x30 as a third scratch register of the general form",
            |_, code| {
                code.extend(arm(|a| a.mov(W::X, X::X30, X::X9)));
            },
        ),
        aarch64(
            LOW,
            "frame-unnamed-register-inverted",
            Kind::Register,
            "r7 is inverted where no operand names it: over an even number of states it is what it was",
            |site, code| {
                if !names(site, Reg::R7) {
                    code.extend(arm(|a| a.mvn(W::X, X::X20, X::X20)));
                }
            },
        ),
        aarch64(
            POP32,
            "frame-second-simd-register",
            Kind::Frame,
            "CNT writes V1, and the contract declares V0",
            |_, code| {
                each(code, |insn| match insn {
                    A::Cnt { vd, .. } => *vd = V::V1,
                    A::Addv { vn, .. } => *vn = V::V1,
                    _ => (),
                });
            },
        ),
        planted(
            POP64,
            Arch::Aarch64,
            "frame-simd-register-undeclared",
            (Kind::Frame, Blame::Emit),
            "the contract was written for the form without SIMD",
            Mistake::Contract(|_, contract| contract.vectors.aarch64 = 0),
        ),
    ]
}

fn aarch64_stack() -> Vec<Planted> {
    vec![
        aarch64(POP64, "frame-below-sp", Kind::Frame, "STUR below sp", |_, code| {
            code.extend(arm(|a| a.str(W::X, X::X9, ArmMem::offset(X::Sp, -8))));
        }),
        aarch64(
            TEST32,
            "frame-below-sp-through-x9",
            Kind::Frame,
            "a store below sp, addressed through a copy of it",
            |_, code| {
                code.extend(arm(|a| {
                    a.mov(W::X, X::X9, X::Sp);
                    a.str(W::X, X::X0, ArmMem::offset(X::X9, -16));
                }));
            },
        ),
        aarch64(
            ROTATE_REG64,
            "frame-sp-is-not-restored",
            Kind::Frame,
            "room is made on the stack and not given back",
            |_, code| {
                before(code, arm(|a| a.sub_imm(W::X, X::Sp, X::Sp, 16)));
            },
        ),
        aarch64(SIGNED, "frame-above-sp", Kind::Frame, "a spill into the caller's frame", |site, code| {
            before(code, arm(|a| a.str(W::X, site.x("src"), ArmMem::offset(X::Sp, 8))));
        }),
        aarch64(
            TRAILING64,
            "frame-touches-a-byte-of-the-program-stack",
            Kind::Memory,
            "the last byte of the program's stack is read and written back as it was",
            |_, code| {
                before(
                    code,
                    arm(|a| {
                        a.load(ASize::B1, X::X9, ArmMem::offset(X::X25, -1));
                        a.store(ASize::B1, X::X9, ArmMem::offset(X::X25, -1));
                    }),
                );
            },
        ),
        aarch64(
            HIGH,
            "frame-spills-a-factor",
            Kind::Memory,
            "x25 is taken for the native frame pointer: the store goes to the program's stack",
            |site, code| {
                before(code, arm(|a| a.str(W::X, site.x("a"), ArmMem::offset(X::X25, -8))));
            },
        ),
    ]
}

fn aarch64_control() -> Vec<Planted> {
    vec![
        aarch64(
            ROTATE_IMM32,
            "frame-function-return",
            Kind::Frame,
            "RET at the end, as of a function: the emit has to fall through",
            |_, code| {
                code.extend(arm(kop_ops::aarch64::Assembler::ret));
            },
        ),
        aarch64(
            BE64,
            "frame-branches-to-x9",
            Kind::Frame,
            "an indirect branch for far offsets",
            |site, code| {
                if site.imm("off") < -256 {
                    code.extend(arm(|a| a.br(X::X9)));
                }
            },
        ),
        aarch64(
            TEST64,
            "frame-branches-out",
            Kind::Frame,
            "a branch over an instruction that is no longer there",
            |_, code| {
                code.push(A::B { offset: 8 });
            },
        ),
        aarch64(
            UNSIGNED,
            "frame-branches-to-itself",
            Kind::Fault,
            "a branch to itself in one case of many: seven bits from bit 41",
            |site, code| {
                if (site.imm("start"), site.imm("length")) == (41, 7) {
                    code.push(A::B { offset: 0 });
                }
            },
        ),
        aarch64(
            LEADING32,
            "frame-supervisor-call",
            Kind::Frame,
            "SVC, which returns as if nothing had been in a user-space test",
            |_, code| {
                code.extend(arm(|a| a.svc(0)));
            },
        ),
        aarch64(
            LOW,
            "frame-traps",
            Kind::Frame,
            "BRK on a path that was thought not to be taken",
            |site, code| {
                if site.reg("a") == site.reg("b") {
                    code.extend(arm(|a| a.brk(1)));
                }
            },
        ),
        raw(
            SIGNED,
            Arch::Aarch64,
            "frame-reads-the-timer",
            "MRS of CNTVCT_EL0 into a scratch register, left over from a measurement",
            |call, emission| {
                if emission.size + 4 <= call.limit {
                    add(call, emission, &0xd53b_e049_u32.to_le_bytes());
                }
            },
        ),
        raw(
            BE32,
            Arch::Aarch64,
            "frame-word-of-ones",
            "padding with ones, which is no instruction",
            |call, emission| {
                if emission.size + 4 <= call.limit {
                    add(call, emission, &[0xff; 4]);
                }
            },
        ),
    ]
}
