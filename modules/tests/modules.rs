// SPDX-License-Identifier: GPL-2.0-or-later
//! Modules in C: a sound one, and the same one with each fault that its callbacks can have.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use kop_modules::{Asked, ModuleError, ModuleKop, Options, Reply, load};
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::{Arch, CallbackFaultKind, EmitRequest, Feature, Features, Kop, Pass, Reject, Site};
use tempfile::TempDir;

const MOVE: &str = include_str!("modules/move.c");

/// A folder with a module in it.
struct Source {
    folder: TempDir,
    path: PathBuf,
}

impl Source {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("move.c");
        fs::write(&path, text).expect("the folder is ours");
        Self { folder, path }
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

/// What is done before a part, what kind of fault that is, its place, and words of its message.
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
        "static int (*volatile f)(u64, struct bpf_insn *) = move_proof; volatile char pad[1000]; pad[9] = 1; return f(payload, insn_buf) + pad[9];",
        BROKEN,
        "crash in instantiate_insn",
        "SIGSEGV",
    ),
    (
        PROOF,
        "noinline int smash(void) { volatile char b[8]; for (volatile int i = 0; i < 64; i++) b[i] = 1; return b[0]; } return smash();",
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

/// The valid payload with the number `index`.
fn payload(index: usize) -> u64 {
    ((index % 10) | ((index / 10) << 4)) as u64
}

#[test]
fn every_misbehaviour_of_a_callback_is_named() {
    // One module with all faults, each for a payload of its own.
    let mut text = MOVE.to_owned();
    for part in [PROOF, X86, ARM64] {
        let own = FAULTS.iter().enumerate().filter(|(_, fault)| fault.0 == part);
        let cases: String =
            own.map(|(i, fault)| format!("	if (payload == {}) {{ {} }}\n", payload(i), fault.1)).collect();
        assert!(text.contains(part));
        text = text.replacen(part, &format!("{cases}{part}"), 1);
    }
    let kop = Source::new(&text).kop();
    let form = &kop.forms()[0];
    for (i, (_, code, kind, place, words)) in FAULTS.iter().enumerate() {
        let faults = kop.callback_faults(form, payload(i));
        let found = faults.iter().find(|fault| fault.place == *place && fault.message.contains(words));
        assert!(found.is_some_and(|found| found.kind == *kind), "{code}: {faults:#?}");
    }
    for i in FAULTS.len()..110 {
        assert_eq!(kop.callback_faults(form, payload(i)), [], "other payloads are as they were");
    }
    let noted = kop.noted_payloads(form);
    assert!(noted.contains(&payload(0)), "{noted:?}");
}

#[test]
fn a_callback_that_hangs_often_leaves_the_others_alone() {
    let kop = Source::patched(X86, &format!("	if (src == 3) for (;;) barrier();\n{X86}")).kop();
    let form = &kop.forms()[0];
    let faults = kop.callback_faults(form, 0x34);
    assert!(matches!(&faults[..], [fault] if fault.place == "hang in emit_x86"), "{faults:?}");
    assert_eq!(kop.callback_faults(form, 0x24), []);
    assert!(kop.instantiate(form, 0x34).is_ok());
}

#[test]
fn sources_that_are_no_modules_are_refused_in_words() {
    let init = "return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &move_set);";
    for (from, to, words) in [
        (init, "return 0;", "it registers no operation"),
        (init, "return -ENOMEM;", "its init function returned -12 (Cannot allocate memory)"),
        (
            init,
            "*(volatile int *)4 = 0; return 0;",
            "its init function crashed: Segmentation fault at address 0x4",
        ),
        (init, "for (;;) barrier(); return 0;", "its init function did not return"),
        ("module_init(move_init);", "", "it has no module_init"),
        (
            "move_descs[] = { &bpf_move_desc }",
            "move_descs[] = { NULL }",
            "it registers bpf_move without a descriptor",
        ),
        (".instantiate_insn = move_proof,", "", "the descriptor of bpf_move has no instantiate_insn"),
        (
            "BTF_ID_FLAGS(func, bpf_move)",
            "BTF_ID_FLAGS(func, bpf_move) BTF_ID_FLAGS(func, bpf_move, KF_FASTCALL)",
            "it registers bpf_move twice",
        ),
        ("insn_buf[0] = BPF_MOV64_REG(dst, src);", "return -EINVAL;", "accepted none of"),
    ] {
        // The array of descriptors is as long as that of names, or the second is garbage.
        let source = Source::patched(from, to);
        let text = fs::read_to_string(&source.path).expect("it was written");
        fs::write(
            &source.path,
            text.replace("move_descs[] = { &bpf", "move_descs[2] = { &bpf_move_desc, &bpf"),
        )
        .expect("ours");
        let error = source.load().expect_err(to);
        assert!(error.to_string().contains(words), "{to}: {error}");
        assert!(!error.is_environment() && !error.to_string().contains('\n'), "{to}: {error}");
    }
}

#[test]
fn what_the_compiler_says_is_passed_on() {
    let error = Source::patched("u8 dst, src;", "u9 dst, src;").load().expect_err("there is no u9");
    let ModuleError::Compile { stderr, .. } = &error else { panic!("{error}") };
    assert!(stderr.contains("move.c:") && stderr.contains("error: unknown type name"), "{stderr}");
    assert!(error.to_string().starts_with(stderr.as_str()));
    let error =
        Source::patched("cpu_to_le32(", "cpu_to_middle32(").load().expect_err("there is no such function");
    assert!(error.to_string().contains("aarch64"), "the other build compiles: {error}");
}

#[test]
fn an_architecture_is_left_out_where_the_source_says_so() {
    for (from, to) in [
        ("#ifdef CONFIG_ARM64\nstatic", "#ifdef CONFIG_ARM64\n#error not yet\nstatic"),
        (
            "static int __init move_init(void)\n{",
            "static int __init move_init(void)\n{\n\tif (IS_ENABLED(CONFIG_ARM64))\n\t\treturn 0;",
        ),
        (".emit_arm64 = move_arm64,", ""),
    ] {
        let kop = Source::patched(from, to).kop();
        assert_eq!(kop.archs(&kop.forms()[0]), [Arch::X86_64], "{to}");
    }
}

#[test]
fn a_source_without_an_emit_for_an_architecture_need_not_compile_as_for_it() {
    let own_arch_only = "#ifdef CONFIG_ARM64\nstatic int wrong = x86_only();\n#endif\n";
    let kop = Source::new(&format!("{}{own_arch_only}", MOVE.replace(".emit_arm64 = move_arm64,", ""))).kop();
    assert_eq!(kop.archs(&kop.forms()[0]), [Arch::X86_64]);
    // One with an emit has to.
    let error = Source::new(&format!("{MOVE}{own_arch_only}")).load().expect_err("it does not compile");
    assert!(matches!(error, ModuleError::Compile { arch: Arch::Aarch64, .. }), "{error}");
    // Of two failures the one that the source is made for is told.
    let text = format!("{}int wrong = undeclared;\n", MOVE.replace(".emit_x86 = move_x86,", ""));
    let error = Source::new(&text).load().expect_err("it does not compile");
    assert!(matches!(error, ModuleError::Compile { arch: Arch::Aarch64, .. }), "{error}");
}

#[test]
fn files_of_one_name_are_one_operation() {
    let (x86, arm) =
        (Source::patched(".emit_arm64 = move_arm64,", ""), Source::patched(".emit_x86 = move_x86,", ""));
    let both = [x86.path.clone(), arm.path.clone()];
    let [kop] = &load(&both, &Options::default()).expect("they go together")[..] else { panic!("one name") };
    assert_eq!(kop.archs(&kop.forms()[0]), Arch::ALL);
    assert_eq!(
        kop.own_proof(Arch::Aarch64, &kop.forms()[0], 0x21),
        Some(kop.instantiate(&kop.forms()[0], 0x21))
    );
    let error = load(&[x86.path.clone(), x86.path], &Options::default()).expect_err("two emits");
    assert!(matches!(error, ModuleError::Twice { arch: Arch::X86_64, .. }), "{error}");
}

#[test]
fn files_that_accept_other_payloads_say_so() {
    let x86 = Source::patched(".emit_arm64 = move_arm64,", "");
    let arm = Source::new(
        &MOVE
            .replace(".emit_x86 = move_x86,", "")
            .replace("*src > BPF_REG_10)", "*src > BPF_REG_10 || *src == 3)"),
    );
    let kops = load(&[x86.path.clone(), arm.path.clone()], &Options::default()).expect("they load");
    let form = &kops[0].forms()[0];
    assert!(kops[0].instantiate(form, 0x31).is_ok() && kops[0].instantiate(form, 0x21).is_ok());
    assert!(kops[0].own_proof(Arch::Aarch64, form, 0x31).expect("it has two files").is_err());
    assert!(kops[0].noted_payloads(form).iter().any(|payload| payload >> 4 == 3));
}

/// Compiles a source to a shared object as a person would who has the headers.
fn shared_object(source: &Source, arguments: &[&str]) -> PathBuf {
    let headers = source.folder.path().join("headers");
    kop_modules::headers::write_to(&headers).expect("there is room");
    let object = source.path.with_extension("so");
    let mut command = Command::new("cc");
    command.args(["-O2", "-fPIC", "-shared", "-nostdinc", "-isystem"]).arg(&headers).args(arguments);
    let status = command.arg("-o").arg(&object).arg(&source.path).status().expect("there is a compiler");
    assert!(status.success());
    object
}

#[test]
fn a_shared_object_is_taken_as_it_is() {
    let source = Source::new(&MOVE.replace("#ifdef CONFIG", "#if 1 //"));
    let object = shared_object(&source, &[]);
    let kops = load(&[object], &Options::default()).expect("it was built with our headers");
    assert_eq!(kops[0].archs(&kops[0].forms()[0]), Arch::ALL);
}

#[test]
fn objects_that_cannot_be_loaded_are_refused_in_words() {
    let source = Source::new(MOVE);
    let object = shared_object(&source, &[]);
    let built = fs::read(&object).expect("it was built");
    let plain = Source::new("int x;");
    let patched = |at: usize, byte: u8| {
        let mut bytes = built.clone();
        bytes[at] = byte;
        bytes
    };
    for (bytes, words) in [
        (patched(18, 40), "it is built for another machine"),
        (patched(4, 1), "build it for this machine"),
        (patched(16, 1), "it is no shared object"),
        (built[..19].to_vec(), "the file ends within its header"),
        (fs::read(shared_object(&plain, &[])).expect("it was built"), "it was not built with the headers"),
    ] {
        fs::write(&object, bytes).expect("ours");
        let error = load(std::slice::from_ref(&object), &Options::default()).expect_err(words);
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(!error.is_environment() && !error.to_string().contains('\n'), "{error}");
    }
    let missing = load(&[object.with_extension("c2")], &Options::default()).expect_err("there is no file");
    assert!(matches!(missing, ModuleError::Read { .. }), "{missing}");
}

#[test]
fn contracts_bind_the_operations_that_they_fit() {
    let source = Source::new(MOVE);
    let with = |contract: &str| {
        let options = Options { contracts: vec![contract.to_owned()], ..Options::default() };
        load(std::slice::from_ref(&source.path), &options)
    };
    for (contract, dead) in [
        ("dead=r3", Reg::R3),
        ("bpf_move:dead=r3", Reg::R3),
        ("dead=payload[0:3]", Reg::R1),
        ("dead=payload[7:4]", Reg::R2),
    ] {
        let kop = &with(contract).expect(contract)[0];
        let site = Site::decode(&kop.forms()[0], 0x21, Features::NONE).expect("valid");
        assert_eq!(kop.contract(&site).dead, RegSet::from(dead), "{contract}");
        assert_eq!(kop.declared_contract(), [contract]);
        assert!(kop.arguments().ends_with(&["--contract".to_owned(), contract.to_owned()]));
    }
    for (contract, words) in [
        ("dead=payload[8:11]", "payload bits 8 to 11 hold no register"),
        ("bpf_other:dead=r3", "no operation `bpf_other` is registered (there are bpf_move)"),
        ("dead=r12", "dead=r12: "),
    ] {
        let error = with(contract).expect_err(contract).to_string();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn cpu_features_are_asked_for_and_granted() {
    let kop = Source::patched(
        "	code[0] = 0x48",
        "	if (!boot_cpu_has(X86_FEATURE_BMI2) || cpu_feature_enabled(X86_FEATURE_AVX))\n		return -EOPNOTSUPP;\n	code[0] = 0x48",
    )
    .kop();
    let form = &kop.forms()[0];
    let bmi2 = Features::of(&[Feature::Bmi2]);
    assert_eq!((kop.features(Arch::X86_64), kop.features(Arch::Aarch64)), (bmi2, Features::NONE));
    let emit = |features| {
        let request =
            EmitRequest { arch: Arch::X86_64, features, payload: 0x21, pass: Pass::Write, address: 0 };
        kop.emit(form, &request)
    };
    assert!(emit(bmi2).is_ok());
    assert!(matches!(emit(Features::NONE), Err(Reject::NoEmit { arch: Arch::X86_64, .. })));
}

#[test]
fn a_batch_survives_its_crashes_and_keeps_its_order() {
    // 300 of these crash, each in a worker of its own.
    let kop = Source::patched(PROOF, &format!("	if (src == 3 && payload & 1) BUG();\n{PROOF}")).kop();
    let payloads: Vec<u64> = (0..20_000).map(|i| i * 7 % 0x100).collect();
    let member = kop.callbacks().next().expect("one build");
    for asked in [Asked::Acceptance, Asked::Everything] {
        let answers = member.ask(
            asked,
            Features::NONE,
            &payloads[..if asked == Asked::Acceptance { 20_000 } else { 3_000 }],
        );
        for (payload, answer) in payloads.iter().zip(&answers) {
            let (dst, src) = (payload & 15, payload >> 4);
            match &answer.proof {
                Reply::Failed => assert!(src == 3 && dst & 1 == 1 && dst < 10, "{payload:#x}"),
                Reply::Accepted(_) => {
                    assert!(dst < 10 && src < 11 && !(src == 3 && dst & 1 == 1), "{payload:#x}")
                }
                Reply::Rejected(errno) => assert!(*errno == -22 && (dst > 9 || src > 10), "{payload:#x}"),
            }
        }
    }
}

#[test]
fn threads_ask_at_the_same_time() {
    let kop = Source::new(MOVE).kop();
    let member = kop.callbacks().next().expect("one build");
    let payloads: Vec<u64> = (0..0x100).collect();
    let expected = member.ask(Asked::Everything, Features::NONE, &payloads);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (payload, expected) in payloads.iter().zip(&expected) {
                    assert_eq!(
                        member.ask(Asked::Everything, Features::NONE, &[*payload]),
                        std::slice::from_ref(expected)
                    );
                }
            });
        }
    });
}
