// SPDX-License-Identifier: GPL-2.0-or-later
//! The shipped headers: all of them are carried, instructions are what RFC 9669 says, and small functions compute what the
//! kernel's do.

use std::fs;
use std::path::{Path, PathBuf};

use kop_modules::headers::HEADERS;
use kop_modules::{Asked, ModuleKop, Options, Reply, load};
use kop_ops::Features;
use kop_ops::ebpf::decode_program;

/// A module with the one operation `bpf_probe`, around a proof and something to check in its init function.
fn module(proof: &str, init: &str, slots: usize) -> Result<Vec<ModuleKop>, kop_modules::ModuleError> {
    let text = format!(
        "#include <linux/bpf.h>\n#include <linux/btf.h>\n#include <linux/filter.h>\n#include <linux/init.h>\n\
         #include <linux/kernel.h>\n#include <linux/module.h>\n#include <linux/string.h>\n#include <linux/bitfield.h>\n\
         #include <linux/unaligned.h>\n\
         static int proof(u64 payload, struct bpf_insn *insn_buf)\n{{\n{proof}\n}}\n\
         static const struct bpf_kinsn desc = {{ .owner = THIS_MODULE, .max_insn_cnt = {slots}, \
         .instantiate_insn = proof }};\n\
         __bpf_kfunc_start_defs();\n__bpf_kfunc void bpf_probe(void) {{}}\n__bpf_kfunc_end_defs();\n\
         BTF_KFUNCS_START(ids)\nBTF_ID_FLAGS(func, bpf_probe)\nBTF_KFUNCS_END(ids)\n\
         static const struct bpf_kinsn * const descs[] = {{ &desc }};\n\
         static const struct btf_kfunc_id_set set = {{ .owner = THIS_MODULE, .set = &ids, .kinsn_descs = descs }};\n\
         static int __init start(void)\n{{\n{init}\n\treturn register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &set);\n}}\n\
         module_init(start);\nMODULE_LICENSE(\"GPL\");\n"
    );
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("probe.c");
    fs::write(&path, text).expect("the folder is ours");
    load(&[path], &Options::default())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("it is a folder").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn every_header_is_carried() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut there: Vec<String> = files_below(&folder)
        .iter()
        .map(|path| path.strip_prefix(&folder).expect("below it").display().to_string())
        .collect();
    let mut carried: Vec<&str> = HEADERS.iter().map(|(path, _)| *path).collect();
    there.sort_unstable();
    carried.sort_unstable();
    assert_eq!(carried, there);
}

/// A macro, and the instruction that it is, as this project's assembler writes it.
const INSTRUCTIONS: &[(&str, &str)] = &[
    ("BPF_MOV64_REG(3, 7)", "r3 = r7"),
    ("BPF_MOV32_REG(3, 7)", "w3 = w7"),
    ("BPF_MOV64_IMM(3, -5)", "r3 = -5"),
    ("BPF_MOV32_IMM(3, -5)", "w3 = -5"),
    ("BPF_MOVSX64_REG(1, 2, 8)", "r1 = (s8)r2"),
    ("BPF_MOVSX64_REG(1, 2, 32)", "r1 = (s32)r2"),
    ("BPF_MOVSX32_REG(1, 2, 16)", "w1 = (s16)w2"),
    ("BPF_ALU64_REG(BPF_ADD, 1, 2)", "r1 += r2"),
    ("BPF_ALU64_REG(BPF_SUB, 1, 2)", "r1 -= r2"),
    ("BPF_ALU64_REG(BPF_MUL, 1, 2)", "r1 *= r2"),
    ("BPF_ALU64_REG(BPF_DIV, 1, 2)", "r1 /= r2"),
    ("BPF_ALU64_REG_OFF(BPF_DIV, 1, 2, 1)", "r1 s/= r2"),
    ("BPF_ALU64_REG(BPF_MOD, 1, 2)", "r1 %= r2"),
    ("BPF_ALU32_REG_OFF(BPF_MOD, 1, 2, 1)", "w1 s%= w2"),
    ("BPF_ALU64_REG(BPF_OR, 1, 2)", "r1 |= r2"),
    ("BPF_ALU64_IMM(BPF_AND, 1, -16)", "r1 &= -16"),
    ("BPF_ALU64_IMM(BPF_XOR, 1, 255)", "r1 ^= 255"),
    ("BPF_ALU64_IMM(BPF_LSH, 1, 63)", "r1 <<= 63"),
    ("BPF_ALU32_IMM(BPF_RSH, 1, 31)", "w1 >>= 31"),
    ("BPF_ALU32_REG(BPF_ARSH, 1, 2)", "w1 s>>= w2"),
    ("BPF_ALU64_IMM(BPF_NEG, 4, 0)", "r4 = -r4"),
    ("BPF_ALU32_IMM(BPF_NEG, 4, 0)", "w4 = -w4"),
    ("BPF_ENDIAN(BPF_TO_BE, 6, 16)", "r6 = be16 r6"),
    ("BPF_ENDIAN(BPF_FROM_LE, 6, 64)", "r6 = le64 r6"),
    ("BPF_BSWAP(6, 32)", "r6 = bswap32 r6"),
    ("BPF_LDX_MEM(BPF_B, 1, 2, -1)", "r1 = *(u8 *)(r2 - 1)"),
    ("BPF_LDX_MEM(BPF_DW, 1, 10, -512)", "r1 = *(u64 *)(r10 - 512)"),
    ("BPF_LDX_MEMSX(BPF_H, 1, 2, 6)", "r1 = *(s16 *)(r2 + 6)"),
    ("BPF_STX_MEM(BPF_W, 1, 2, 4)", "*(u32 *)(r1 + 4) = w2"),
    ("BPF_STX_MEM(BPF_DW, 1, 2, 4)", "*(u64 *)(r1 + 4) = r2"),
    ("BPF_ST_MEM(BPF_H, 1, 4, -7)", "*(u16 *)(r1 + 4) = -7"),
    ("BPF_ATOMIC_OP(BPF_DW, BPF_ADD, 1, 2, 8)", "lock *(u64 *)(r1 + 8) += r2"),
    ("BPF_STX_XADD(BPF_W, 1, 2, 8)", "lock *(u32 *)(r1 + 8) += w2"),
    ("BPF_JMP_REG(BPF_JSGT, 1, 2, 3)", "if r1 s> r2 goto +3"),
    ("BPF_JMP_IMM(BPF_JSET, 1, 4, 3)", "if r1 & 4 goto +3"),
    ("BPF_JMP32_IMM(BPF_JNE, 1, -1, 3)", "if w1 != -1 goto +3"),
    ("BPF_JMP32_REG(BPF_JLE, 1, 2, 3)", "if w1 <= w2 goto +3"),
    ("BPF_JMP_A(2)", "goto +2"),
    ("BPF_EXIT_INSN()", "exit"),
    ("BPF_RAW_INSN(BPF_JMP32 | BPF_JSLT | BPF_X, 1, 2, 3, 0)", "if w1 s< w2 goto +3"),
    ("BPF_LD_IMM64(5, 0x123456789abcdef0ULL)", "r5 = 0x123456789abcdef0 ll"),
];

#[test]
fn instruction_macros_are_what_the_assembler_makes_of_their_text() {
    let cases: String = INSTRUCTIONS
        .iter()
        .enumerate()
        .map(|(i, (text, _))| {
            format!("\tcase {i}: {{ struct bpf_insn own[] = {{ {text} }}; memcpy(insn_buf, own, sizeof(own)); return ARRAY_SIZE(own); }}\n")
        })
        .collect();
    let proof = format!("\tswitch (payload) {{\n{cases}\tdefault: return -EINVAL;\n\t}}");
    let kops = module(&proof, "", 2).expect("it compiles");
    let payloads: Vec<u64> = (0..INSTRUCTIONS.len() as u64).collect();
    let answers =
        kops[0].callbacks().next().expect("one build").ask(Asked::Everything, Features::NONE, &payloads);
    for ((macros, text), answer) in INSTRUCTIONS.iter().zip(answers) {
        let Reply::Accepted(bytes) = &answer.proof else { panic!("{macros}: {answer:?}") };
        let made = decode_program(bytes).unwrap_or_else(|error| panic!("{macros}: {error}"));
        let meant = kop_ops::ebpf::parse_program(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(made, meant, "{macros}");
        assert_eq!(answer.faults, [], "{macros}");
    }
}

#[test]
fn small_functions_compute_what_the_kernels_do() {
    // Each is a statement; the number of the first that is wrong is the errno that the init function returns.
    let truths = [
        "min(3, 5) == 3 && max(3, 5) == 5",
        "min_t(u8, 0x101, 5) == 1 && max_t(s8, 0xff, 1) == 1",
        "clamp(9, 1, 5) == 5 && clamp_t(int, -3, 1, 5) == 1",
        "BIT(5) == 32 && BIT_ULL(51) == 0x8000000000000ULL",
        "GENMASK(7, 4) == 0xf0 && GENMASK_ULL(51, 0) == 0xfffffffffffffULL",
        "FIELD_GET(0xf0ULL, 0x1234ULL) == 3 && FIELD_PREP(0xf00, 5) == 0x500",
        "fls(0) == 0 && fls(1) == 1 && fls(0x80000000u) == 32 && fls64(1ULL << 63) == 64",
        "ffs(0) == 0 && ffs(8) == 4 && __ffs(8) == 3 && __fls(9) == 3",
        "ilog2(1) == 0 && ilog2(65535) == 15 && is_power_of_2(64) && !is_power_of_2(0) && !is_power_of_2(6)",
        "roundup_pow_of_two(5) == 8 && rounddown_pow_of_two(5) == 4 && order_base_2(5) == 3",
        "hweight8(0xff) == 8 && hweight16(0x8001) == 2 && hweight32(~0u) == 32 && hweight64(5) == 2",
        "rol64(1, 64) == 1 && rol32(0x80000001u, 1) == 3 && ror32(1, 1) == 0x80000000u && rol8(0x81, 1) == 3",
        "sign_extend32(0x80, 7) == -128 && sign_extend64(0x7fff, 15) == 0x7fff && sign_extend64(0x8000, 15) == -32768",
        "cpu_to_be32(0x01020304u) == 0x04030201u && cpu_to_le32(7) == 7 && be16_to_cpu(0x0102) == 0x0201",
        "swab64(1) == 1ULL << 56",
        "get_unaligned_le32(\"abcde\" + 1) == 0x65646362u && get_unaligned_be16(\"ab\") == 0x6162",
        "DIV_ROUND_UP(7, 4) == 2 && round_up(5, 8) == 8 && ALIGN(9, 8) == 16 && IS_ALIGNED(16, 8)",
        "ARRAY_SIZE(((int[3]){ 0 })) == 3 && sizeof_field(struct bpf_insn, imm) == 4",
        "upper_32_bits(0x123456789ULL) == 1 && lower_32_bits(0x123456789ULL) == 0x23456789u",
        "S8_MIN == -128 && U16_MAX == 65535 && S32_MAX == 2147483647 && S64_MIN < 0",
        "IS_ENABLED(CONFIG_64BIT) && IS_ENABLED(CONFIG_X86_64) != IS_ENABLED(CONFIG_ARM64) && !IS_ENABLED(CONFIG_NONE)",
        "IS_ERR(ERR_PTR(-EINVAL)) && PTR_ERR(ERR_PTR(-22)) == -22 && !IS_ERR(&set)",
        "WARN_ON(1) && !WARN_ON_ONCE(0) && likely(2) == 1",
        "bpf_size_to_bytes(BPF_H) == 2 && bytes_to_bpf_size(8) == BPF_DW && bytes_to_bpf_size(3) == -EINVAL",
        "BPF_CLASS(0x6e) == BPF_JMP32 && BPF_OP(0xbf) == BPF_MOV && BPF_SRC(0xbf) == BPF_X",
        "KF_FASTCALL != 0 && container_of(&desc.max_insn_cnt, struct bpf_kinsn, max_insn_cnt) == &desc",
    ];
    let init: String = truths
        .iter()
        .enumerate()
        .map(|(i, truth)| format!("\tif (!({truth})) return -{};\n", 2000 + i))
        .collect();
    let accept =
        "\tif (payload > 9) return -EINVAL;\n\tinsn_buf[0] = BPF_MOV64_IMM(payload, 0);\n\treturn 1;";
    if let Err(error) = module(accept, &init, 1) {
        let wrong =
            truths.iter().enumerate().find(|(i, _)| error.to_string().contains(&format!("-{}", 2000 + i)));
        panic!("{error}: {wrong:?}");
    }
    assert!(module(accept, "\tif (fls(8) != 3) return -2000;", 1).is_err(), "a falsehood is found");
}
