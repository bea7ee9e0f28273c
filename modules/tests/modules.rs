// SPDX-License-Identifier: GPL-2.0-or-later
//! Modules in C: a sound one, and the same one with each fault that its callbacks can have.

use std::fs;
use std::path::PathBuf;

use kop_modules::{ModuleError, ModuleKop, Options, load};
use kop_ops::{Arch, CallbackFaultKind, EmitRequest, Features, Kop, Pass};
use tempfile::TempDir;

const MOVE: &str = include_str!("modules/move.c");

/// A folder with a module in it.
struct Source {
    _folder: TempDir,
    path: PathBuf,
}

impl Source {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("move.c");
        fs::write(&path, text).expect("the folder is ours");
        Self { _folder: folder, path }
    }

    /// The sound module with `from` replaced, which it has to have.
    fn patched(from: &str, to: &str) -> Self {
        assert!(MOVE.contains(from), "{from}");
        Self::new(&MOVE.replace(from, to))
    }

    fn load(&self) -> Result<Vec<ModuleKop>, ModuleError> {
        load(std::slice::from_ref(&self.path), &Options::default())
    }

    fn kop(&self) -> ModuleKop {
        self.load().expect("it loads").pop().expect("it registers one operation")
    }
}

#[test]
fn a_sound_module_is_what_it_says() {
    let source = Source::new(MOVE);
    let kop = source.kop();
    assert_eq!(kop.name(), "bpf_move");
    assert_eq!(kop.arguments(), ["--module", source.path.to_str().expect("ASCII")]);
    let [form] = kop.forms() else { panic!("{:?}", kop.forms()) };
    assert_eq!(kop.archs(form), Arch::ALL);
    for payload in 0..0x400 {
        let valid = payload & 15 < 10 && payload >> 4 < 11;
        assert_eq!(kop.instantiate(form, payload).is_ok(), valid, "{payload:#x}");
        for arch in Arch::ALL {
            let request = |pass| EmitRequest { arch, features: Features::NONE, payload, pass, address: 0 };
            let written = kop.emit(form, &request(Pass::Write));
            assert_eq!(written.is_ok(), valid);
            let size = if arch == Arch::X86_64 { 3 } else { 4 };
            if let Ok(written) = written {
                assert_eq!((written.size, written.bytes.len()), (size, size));
                assert_eq!(kop.emit(form, &request(Pass::Size)).expect("as before").size, size);
            }
        }
        assert_eq!(kop.callback_faults(form, payload), [], "{payload:#x}");
    }
    let mov = kop.emit(
        form,
        &EmitRequest {
            arch: Arch::X86_64,
            features: Features::NONE,
            payload: 0x75,
            pass: Pass::Write,
            address: 0,
        },
    );
    assert_eq!(mov.expect("valid").bytes, [0x4d, 0x89, 0xe8], "mov r8, r13");
}

const PROOF: &str = "	insn_buf[0] = BPF_MOV64_REG(dst, src);\n	return 1;";
const X86: &str =
    "	if (emit)\n		memcpy(image + *off, code, sizeof(code));\n	*off += sizeof(code);\n	return sizeof(code);";
const ARM64: &str = "	*idx += 1;\n	return 1;";

/// Where the faults of the table show: src is r3, dst is r4.
const FAULTY: u64 = 0x34;

/// What is put in place of a part, what kind of fault that is, its place, and words of its message. All but the first
/// few rows change what happens for src == r3 alone.
const FAULTS: &[(&str, &str, CallbackFaultKind, &str, &str)] = &[
    (
        PROOF,
        "*(volatile int *)8 = 1; return 1;",
        BROKEN,
        "crash in instantiate_insn",
        "wrote to address 0x8 (near NULL)",
    ),
    (
        PROOF,
        "return *(volatile int *)0xdead000;",
        BROKEN,
        "crash in instantiate_insn",
        "read from address 0xdead000",
    ),
    (PROOF, "for (;;) barrier();", BROKEN, "hang in instantiate_insn", "did not return"),
    (PROOF, "BUG();", BROKEN, "crash in instantiate_insn", "SIGILL"),
    (
        PROOF,
        "insn_buf[2] = BPF_EXIT_INSN(); return 3;",
        BROKEN,
        "overrun in instantiate_insn",
        "0 bytes behind its 16",
    ),
    (
        PROOF,
        "return 3;",
        BROKEN,
        "return value in instantiate_insn",
        "returned 3 instructions, and max_insn_cnt is 2",
    ),
    (PROOF, "return 0;", BROKEN, "return value in instantiate_insn", "returned 0"),
    (PROOF, "return -70000;", BROKEN, "return value in instantiate_insn", "returned -70000"),
    (
        PROOF,
        "insn_buf[-1] = insn_buf[0] = BPF_MOV64_REG(dst, src); return 1;",
        BROKEN,
        "underrun in instantiate_insn",
        "8 bytes before insn_buf",
    ),
    (
        PROOF,
        "insn_buf[0] = BPF_MOV64_REG(dst, src); return 2;",
        BROKEN,
        "bytes left out in instantiate_insn",
        "left 8 of the 16 bytes",
    ),
    (
        PROOF,
        "static int n; insn_buf[0] = BPF_MOV64_IMM(dst, n++); return 1;",
        ENCODING,
        "proof differs in instantiate_insn",
        "another instruction 0",
    ),
    (PROOF, "insn_buf[0] = BPF_RAW_INSN(0xff, 0, 0, 0, 0); return 1;", SHAPE, "undecodable proof", "no eBPF"),
    (
        PROOF,
        "static int (*volatile f)(u64, struct bpf_insn *) = move_proof; return f(payload, insn_buf) + 1;",
        BROKEN,
        "crash in instantiate_insn",
        "SIGSEGV",
    ),
    (
        PROOF,
        "volatile char b[8]; for (volatile int i = 0; i < 64; i++) b[i] = 1; insn_buf[0] = BPF_MOV64_REG(dst, src); return 1;",
        BROKEN,
        "stack overrun in instantiate_insn",
        "overran a buffer on its stack",
    ),
    (
        PROOF,
        "long r; asm volatile(\"syscall\" : \"=a\"(r) : \"a\"(39L) : \"rcx\", \"r11\", \"memory\"); return -1;",
        BROKEN,
        "system call in instantiate_insn",
        "system call 39",
    ),
    (
        X86,
        "image[*off + 4] = 0;",
        BROKEN,
        "overrun in emit_x86",
        "0 bytes behind its 4 (max_emit_bytes) with emit == false",
    ),
    (
        X86,
        "memcpy(image + *off, code, 3); *off += 3; return 3;",
        ENCODING,
        "sizing writes in emit_x86",
        "offset 0",
    ),
    (X86, "if (emit) memcpy(image + *off, code, 3); return 3;", ENCODING, "offset in emit_x86", "which is 0"),
    (
        X86,
        "if (emit) memcpy(image + *off, code, 3); *off = 3; return 3;",
        ENCODING,
        "offset in emit_x86",
        "from 64 to 3",
    ),
    (
        X86,
        "if (emit) memcpy(image, code, 3); *off += 3; return 3;",
        BROKEN,
        "underrun in emit_x86",
        "64 bytes before its offset",
    ),
    (
        X86,
        "if (emit) memcpy(image + *off, code, 3); *off += 4; return 4;",
        ENCODING,
        "bytes left out in emit_x86",
        "left 1 of the 4 bytes",
    ),
    (
        X86,
        "if (emit) memcpy(image + *off, code, 3); *off += 2; return 2;",
        ENCODING,
        "bytes beyond the size in emit_x86",
        "returned 2 bytes and wrote at offset 2",
    ),
    (X86, "*off += 5; return 5;", ENCODING, "limit in emit_x86", "returned 5 bytes, and max_emit_bytes is 4"),
    (
        X86,
        "if (!emit) { *off += 3; return 3; } return -EINVAL;",
        ENCODING,
        "sizing and writing in emit_x86",
        "returned 3 with emit == false and -22 with emit == true",
    ),
    (
        X86,
        "code[2] = *off; if (emit) memcpy(image + *off, code, 3); *off += 3; return 3;",
        ENCODING,
        "address in emit_x86",
        "wrote 0x40 at byte 2, and 0xd3 for another image and offset",
    ),
    (
        X86,
        "static u8 n; code[2] = n++; if (emit) memcpy(image + *off, code, 3); *off += 3; return 3;",
        ENCODING,
        "second call in emit_x86",
        "at byte 2",
    ),
    (X86, "return 0;", BROKEN, "return value in emit_x86", "returned 0"),
    (
        X86,
        "*off += 1u << 31; return -2147483647 - 1;",
        BROKEN,
        "return value in emit_x86",
        "returned -2147483648",
    ),
    (X86, "for (;;) barrier();", BROKEN, "hang in emit_x86", "did not return with emit == false"),
    (X86, "*(u16 *)prog = 1; return 3;", BROKEN, "crash in emit_x86", "SIGSEGV, it wrote to address"),
    (ARM64, "*idx += 1; return 4;", ENCODING, "offset in emit_arm64", "returned 4 instructions"),
    (
        ARM64,
        "*idx += 2; return 2;",
        ENCODING,
        "limit in emit_arm64",
        "returned 8 bytes, and max_emit_bytes is 4",
    ),
    (
        ARM64,
        "if (emit) image[*idx + 1] = 0; *idx += 1; return 1;",
        BROKEN,
        "overrun in emit_arm64",
        "0 bytes behind its 4",
    ),
    (
        ARM64,
        "((void (*)(void))0x1234)(); return 1;",
        BROKEN,
        "crash in emit_arm64",
        "jumped to address 0x1234",
    ),
];
const BROKEN: CallbackFaultKind = CallbackFaultKind::Callback;
const ENCODING: CallbackFaultKind = CallbackFaultKind::Encoding;
const SHAPE: CallbackFaultKind = CallbackFaultKind::Shape;

#[test]
fn every_misbehaviour_of_a_callback_is_named() {
    for (part, code, kind, place, words) in FAULTS {
        let kop = Source::patched(part, &format!("	if (src == 3) {{ {code} }}\n{part}")).kop();
        let form = &kop.forms()[0];
        let faults = kop.callback_faults(form, FAULTY);
        let found = faults.iter().find(|fault| fault.place == *place && fault.message.contains(words));
        assert!(found.is_some_and(|found| found.kind == *kind), "{code}: {faults:#?}");
        assert_eq!(kop.callback_faults(form, 0x24), [], "{code}: other payloads are as they were");
    }
}
