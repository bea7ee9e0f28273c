// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole files: what they become, and what is said of mistakes in them.

use kop_ops::ebpf::Reg;
use kop_ops::{Arch, Emission, EmitRequest, Feature, Features, Form, Kop, Pass, Reject, Site};

use super::*;

const ROTATE: &str = r#"
name = "rotate_left"
summary = "rotate by an immediate"
require = "dst != src"

[operands]
dst = "destination"
src = "source"
tmp = "temporary"
amount = { min = 1, max = 63 }

[proof]
asm = """
    {tmp} = {src}
    {tmp} >>= {64 - amount}     # the bits that leave at the top
    {dst} = {src}
    {dst} <<= {amount}
    {dst} |= {tmp}
"""

[[x86_64]]
features = ["bmi2"]
asm = "rorx {dst}, {src}, {64 - amount}"

[[x86_64]]
asm = """
    mov {dst}, {src}
    rol {dst}, {amount}
"""

[[aarch64]]
asm = "ror {dst}, {src}, #{64 - amount}"
"#;

fn emit(
    kop: &TextKop,
    form: &Form,
    arch: Arch,
    features: Features,
    payload: u64,
) -> Result<Emission, Reject> {
    kop.emit(form, &EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 })
}

fn bytes(kop: &TextKop, arch: Arch, features: Features, payload: u64) -> Vec<u8> {
    emit(kop, &kop.forms()[0], arch, features, payload).expect("native code").bytes
}

#[test]
fn a_file_becomes_an_operation() {
    let kop = parse("rotate.kop.toml", ROTATE).expect("well-formed");
    let form = &kop.forms()[0];
    assert_eq!((kop.name(), kop.source(), &*form.name), ("rotate_left", "rotate.kop.toml", "payload"));
    assert_eq!(kop.arguments(), ["--file", "rotate.kop.toml"]);
    assert_eq!(kop.features(Arch::X86_64), Features::of(&[Feature::Bmi2]));
    let payload = 1 | 2 << 4 | 3 << 8 | 13 << 12;
    let proof = kop.instantiate(form, payload).expect("a proof");
    let listing: Vec<String> = proof.iter().map(ToString::to_string).collect();
    assert_eq!(listing, ["r3 = r2", "r3 >>= 51", "r1 = r2", "r1 <<= 13", "r1 |= r3"]);
    let bmi2 = Features::of(&[Feature::Bmi2]);
    assert_eq!(bytes(&kop, Arch::X86_64, bmi2, payload), [0xc4, 0xe3, 0xfb, 0xf0, 0xfe, 51]);
    assert_eq!(bytes(&kop, Arch::X86_64, Features::NONE, payload), [0x48, 0x89, 0xf7, 0x48, 0xc1, 0xc7, 13]);
    // EXTR X0, X1, X1, #51: 0x93c0_0000 | Rm << 16 | imms << 10 | Rn << 5 | Rd.
    let extr = 0x93c0_0000u32 | 1 << 16 | 51 << 10 | 1 << 5;
    assert_eq!(bytes(&kop, Arch::Aarch64, Features::NONE, payload), extr.to_le_bytes());
    let sized = EmitRequest { arch: Arch::X86_64, features: bmi2, payload, pass: Pass::Size, address: 0 };
    assert_eq!(kop.emit(form, &sized), Ok(Emission { size: 6, bytes: Vec::new() }));
    let site = Site::decode(form, payload, Features::NONE).expect("valid");
    assert!(kop.contract(&site).dead.has(Reg::R3) && kop.contract(&site).dead.len() == 1);
    assert_eq!(kop.remarks(form), Vec::<String>::new());
}

#[test]
fn proof_and_emits_refuse_the_same_payloads() {
    let kop = parse("rotate.kop.toml", ROTATE).expect("well-formed");
    let form = &kop.forms()[0];
    for (payload, words) in [
        (1 | 1 << 4 | 3 << 8 | 13 << 12, "the file requires `dst != src`"),
        (1 | 2 << 4 | 3 << 8, "operand amount is 0, outside 1..=63"),
        (1 | 2 << 4 | 2 << 8 | 1 << 12, "temporary tmp is also operand src"),
        (1 | 2 << 4 | 3 << 8 | 1 << 12 | 1 << 18, "sets unused bits 0x40000"),
    ] {
        let proof = kop.instantiate(form, payload).expect_err("refused");
        assert!(proof.to_string().contains(words), "{proof}");
        for arch in Arch::ALL {
            assert_eq!(emit(&kop, form, arch, Features::NONE, payload), Err(proof.clone()));
        }
    }
}

/// The file with `from` replaced, which must be there.
fn changed(from: &str, to: &str) -> Result<TextKop, String> {
    assert!(ROTATE.contains(from), "{from}");
    parse("f", &ROTATE.replacen(from, to, 1)).map_err(|error| error.to_string())
}

#[test]
fn mistakes_are_shown_with_line_and_column() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        ("name = ", "nmae = ", "f:1:1: `name` is missing: the operation's name"),
        ("summary = ", "summery = ", "f:1:1: `summary` is missing"),
        ("\"rotate_left\"", "\"Rotate\"", "f:2:1: `Rotate` is no name"),
        ("\"rotate_left\"", "5", "f:2:1: expected a string, found an integer"),
        ("name = \"rotate_left\"", "name = \"rotate_left", "f:2:20: invalid basic string"),
        (
            "require",
            "requires",
            "f:4:1: unknown key `requires` (known here: aarch64, contract, form, interesting, limits, meaning, name, operands, proof, require, summary, x86_64)",
        ),
        ("dst != src\"", "dst != sorce\"", "f:4:19: no operand `sorce` (dst, src, tmp, amount)"),
        ("dst != src\"", "amount + 1\"", "f:4:19: expected a condition, found a number"),
        ("dst != src\"", "amount > 63\"", "f:1:1: no operands meet all rules of `require`"),
        ("\"destination\"", "\"target\"", "f:7:1: `target` is no kind of operand (source, any,"),
        ("dst = \"destination\"", "r1 = \"destination\"", "f:7:1: `r1` means something else"),
        ("dst = \"destination\"", "\"d t\" = \"destination\"", "f:7:1: `d t` is no name"),
        (
            "\"destination\"",
            "\"in-place\"",
            "f:7:1: the proof never reads what `dst` held: its kind is `destination`",
        ),
        ("src = \"source\"", "src = \"destination\"", "f:8:1: the proof never writes `src`"),
        (
            "{dst} = {src}",
            "{dst} += {src}",
            "f:7:1: the proof reads `dst` before it writes it: its kind is `in-place`",
        ),
        ("max = 63 }", "max = 0 }", "f:10:21: the range 1..=0 is empty"),
        ("max = 63 }", "maximum = 63 }", "f:10:1: `max` is missing"),
        (
            "max = 63 }",
            "max = 63, step = 1 }",
            "f:10:31: unknown key `step` (known here: bits, kind, max, min)",
        ),
        ("max = 63 }", "max = 5000000000 }", "f:10:21: expected an integer in -2147483648..=4294967295"),
        ("max = 63 }", "max = 63, bits = \"12:8\" }", "f:10:1: operand `amount` has 5 bits and takes 6"),
        (
            "max = 63 }",
            "max = 63, bits = \"11:6\" }",
            "f:10:1: operand `amount` has the bits 11:6, `src` has 7:4: give it others by `bits`",
        ),
        ("max = 63 }", "max = 63, bits = \"52:47\" }", "f:10:31: expected bits such as \"19:4\""),
        (
            "amount = {",
            "a = \"offset\"\nb = \"offset\"\nc = \"offset\"\namount = {",
            "f:12:1: operand `c` ends at bit 60: a payload has 52",
        ),
        (
            "{tmp} >>= {64 - amount}",
            "{tmp} >>= {64 - }",
            "f:15:21: expected an operand, a register, a number or `(`, found the end",
        ),
        ("{tmp} >>= {64 - amount}", "{tmp} >> {64 - amount}", "f:15:11: expected an assignment such as"),
        ("{tmp} >>= {64 - amount}", "{tmp} >>= {64 << amount}", "f:15:19: "),
        ("{dst} |= {tmp}", "{dst} += {amount << 40}", "in the proof, for dst=r"),
        (
            "features = [\"bmi2\"]",
            "features = [\"bmi9\"]",
            "f:22:13: unknown x86_64 feature `bmi9` (known: popcnt, lzcnt, bmi1, bmi2, movbe, pclmulqdq, sse4_2, avx512vl, avx512_vpopcntdq, sse2)",
        ),
        (
            "features = [\"bmi2\"]\n",
            "",
            "f:24:1: this is never taken: the one before it has neither `when` nor `features`",
        ),
        ("rol {dst}, {amount}", "roll {dst}, {amount}", "f:28:5: Keystone refuses `roll "),
        (
            "rol {dst}, {amount}",
            "rol {dst:4}, {amount}",
            "f:28:14: `4` is no width of a register here (64, 32, 16, 8)",
        ),
        ("rol {dst}, {amount}", "rol {dts}, {amount}", "f:28:10: no operand `dts`"),
        ("rol {dst}, {amount}", "rol dst, {amount}", "f:28:5: Keystone refuses `rol dst, "),
        ("rol {dst}, {amount}", "rol {dst}, {amount", "f:28:16: `{` without `}` in this line"),
        ("#{64 - amount}", "#{64 + amount}", "f:32:8: Keystone refuses `ror "),
        ("[[aarch64]]", "[[arm64]]", "f:31:3: unknown key `arm64`"),
        (
            "[proof]",
            "[contract]\ndead = [\"r10\"]\n[proof]",
            "f:13:9: `r10` is neither r0 to r9 nor an operand that is a register",
        ),
        ("[proof]", "[contract]\nvectors = [\"xmm16\"]\n[proof]", "f:13:12: `xmm16` is no vector register"),
        ("[proof]", "[limits]\nmax_insn_cnt = 0\n[proof]", "f:13:1: expected an integer in 1..=65535"),
    ] {
        let error = changed(from, to).map(|kop| kop.name().to_owned()).expect_err(to);
        if !error.contains(expected) {
            wrong.push(format!("{to}:\n  {error}\n  {expected}"));
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_form_that_is_refused_for_some_operands_is_for_the_oracle_to_judge() {
    // Valid from 32 on alone.
    let kop = changed("#{64 - amount}", "#{96 - amount}").expect("some payloads are right");
    let form = &kop.forms()[0];
    let payload = |amount: u64| 1 | 2 << 4 | 3 << 8 | amount << 12;
    assert!(emit(&kop, form, Arch::Aarch64, Features::NONE, payload(40)).is_ok());
    let reject = emit(&kop, form, Arch::Aarch64, Features::NONE, payload(3)).expect_err("93 is no amount");
    let words = reject.to_string();
    assert!(
        words.starts_with("emit does not encode: f:32:8: Keystone refuses `ror x0, x1, #93`: "),
        "{words}"
    );
}

#[test]
fn conditions_choose_and_features_fall_back() {
    let kop = changed("[[x86_64]]\nasm", "[[x86_64]]\nwhen = \"amount > 1\"\nasm").expect("well-formed");
    let form = &kop.forms()[0];
    let payload = |amount: u64| 1 | 2 << 4 | 3 << 8 | amount << 12;
    assert!(emit(&kop, form, Arch::X86_64, Features::NONE, payload(2)).is_ok());
    // The form for BMI2 is meant for it, but not on this CPU.
    let none = emit(&kop, form, Arch::X86_64, Features::NONE, payload(1));
    assert_eq!(none, Err(Reject::NoEmit { arch: Arch::X86_64, features: Features::NONE }));
    let text = ROTATE.replace("[[aarch64]]\n", "[[aarch64]]\nwhen = \"amount != 5\"\n");
    let kop = parse("f", &text).expect("well-formed");
    let reject =
        emit(&kop, &kop.forms()[0], Arch::Aarch64, Features::NONE, payload(5)).expect_err("not covered");
    assert!(reject.to_string().contains("no `when` of the aarch64 forms holds"), "{reject}");
    let text =
        ROTATE.replace("[[aarch64]]\n", "[[aarch64]]\nwhen = \"amount == 0\"\nasm = \"nop\"\n[[aarch64]]\n");
    let kop = parse("f", &text).expect("well-formed");
    let remarks = kop.remarks(&kop.forms()[0]);
    assert!(
        remarks.len() == 1 && remarks[0].starts_with("the aarch64 form in line 33 was taken for none of"),
        "{remarks:?}"
    );
}

const FORMS: &str = r#"
name = "add_to"
summary = "add to memory, or to a register"

[[form]]
name = "memory"
meaning = "*(u64 *)(base + off) += src"
proof = '''
    {t} = *(u64 *)({base} + {off})
    {t} += {src}
    *(u64 *)({base} + {off}) = {t}
'''
x86_64 = "add qword ptr [{base} + {off}], {src}"
interesting = [0x8000000000000000, -1]

[form.operands]
base = { kind = "any", bits = "51:48" }
src = { kind = "source", bits = "3:0" }
off = { kind = "offset", bits = "31:16" }
t = { kind = "temporary", bits = "7:4" }

[form.limits]
max_insn_cnt = 3
max_emit_bytes = 8

[form.contract]
dead = ["src", "r4"]
vectors = ["xmm0", "xmm15", "v31"]

[[form]]
name = "register"

[form.operands]
dst = "in-place"
n = { min = -100, max = 27 }

[[form.proof]]
when = "n == 0"
asm = "{dst} = {dst}"

[[form.proof]]
asm = "{dst} += {n}"

[[form.x86_64]]
asm = "add {dst}, {n}"

[[form.aarch64]]
when = "n >= 0"
asm = "add {dst}, {dst}, #{n}"

[[form.aarch64]]
asm = ".word {0xd1000000 | -n << 10 | code(dst) << 5 | code(dst)}"
"#;

#[test]
fn forms_have_their_own_operands_and_contracts() {
    let kop = parse("f", FORMS).expect("well-formed");
    let [memory, register] = kop.forms() else { panic!("two forms") };
    let fields = |form: &Form| -> Vec<(String, u32, u32)> {
        form.layout.fields().iter().map(|field| (field.name.to_string(), field.low, field.width)).collect()
    };
    let named = |name: &str, low, width| (name.to_owned(), low, width);
    assert_eq!(
        fields(memory),
        [named("src", 0, 4), named("t", 4, 4), named("off", 16, 16), named("base", 48, 4)]
    );
    assert_eq!(fields(register), [named("dst", 0, 4), named("n", 4, 8)]);
    assert_eq!((&*memory.meaning, &*register.meaning), ("*(u64 *)(base + off) += src", kop.summary()));
    assert_eq!((kop.archs(memory), kop.archs(register)), (&[Arch::X86_64][..], &Arch::ALL[..]));
    assert_eq!(kop.limits(memory).max_emit_bytes, 8);
    assert_eq!(kop.interesting_values(memory), [1 << 63, u64::MAX]);
    assert_eq!(kop.declared_contract(), ["dead=r4", "dead=src"]);

    let payload = 1 | 2 << 4 | 0xfff8 << 16 | 10 << 48;
    let code = emit(&kop, memory, Arch::X86_64, Features::NONE, payload).expect("native code").bytes;
    assert_eq!(code, [0x48, 0x01, 0x7d, 0xf8]);
    let site = Site::decode(memory, payload, Features::NONE).expect("valid");
    let contract = kop.contract(&site);
    let dead: Vec<bool> = [1, 2, 3, 4].map(|number| contract.dead.has(Reg::ALL[number])).to_vec();
    assert_eq!(dead, [true, true, false, true]);
    assert_eq!((contract.vectors.x86_64, contract.vectors.aarch64), (1 << 15 | 1, 1 << 31));
    let uses: Vec<(Reg, i32, u32)> =
        contract.memory.iter().map(|access| (access.base, access.offset, access.size)).collect();
    assert_eq!(uses, [(Reg::R10, -8, 8), (Reg::R10, -8, 8)]);

    let sub =
        emit(&kop, register, Arch::Aarch64, Features::NONE, 6 | (0x100 - 5) << 4).expect("native code").bytes;
    // SUB X19, X19, #5
    assert_eq!(sub, 0xd100_1673u32.to_le_bytes());
    assert_eq!(kop.instantiate(register, 6).expect("zero")[0].to_string(), "r6 = r6");
}

#[test]
fn code_is_assembled_once_for_each_payload() {
    let kop = parse("rotate.kop.toml", ROTATE).expect("well-formed");
    let payload = 1 | 2 << 4 | 3 << 8 | 13 << 12;
    for _ in 0..3 {
        bytes(&kop, Arch::X86_64, Features::NONE, payload);
    }
    assert_eq!(kop.codes.lock().expect("no panic").len(), 1);
}

#[test]
fn files_that_cannot_be_read_are_one_line() {
    let missing = load(Path::new("/nonexistent/f.kop.toml")).expect_err("missing").to_string();
    assert_eq!(missing, "/nonexistent/f.kop.toml: No such file or directory (os error 2)");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("f");
    fs::write(&path, b"name = \"\xff\"").expect("written");
    assert!(load(&path).expect_err("bad").to_string().ends_with("f: the file is not UTF-8"));
    fs::write(&path, vec![b'#'; 2 << 20]).expect("written");
    assert!(load(&path).expect_err("bad").to_string().contains("2097152 bytes are too many"));
    let crlf = ROTATE.replace('\n', "\r\n").replace("rol {", "roll {");
    fs::write(&path, crlf).expect("written");
    assert!(load(&path).expect_err("bad").to_string().contains("f:28:5: Keystone refuses `roll "));
}

#[test]
fn loading_never_panics_on_damaged_files() {
    let mut choices = kop_ops::choices::Seeded::new(7);
    let pieces = [
        "{", "}", "\"", "'''", "[", "]", "=", "\n", "-", "9", "(", "#", "<<", "{dst}", "\\", "\u{e9}", "1e5",
    ];
    let mut refused = 0;
    for _ in 0..600 {
        use kop_ops::choices::Choices;
        let mut text = if choices.one_in(2) { ROTATE } else { FORMS }.to_owned();
        for _ in 0..=choices.below(2) {
            let at = choices.below(text.len() as u64) as usize;
            let end = (at + choices.below(6) as usize).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                let piece: &&str = choices.pick(&pieces);
                text.replace_range(at..end, piece);
            }
        }
        if let Err(error) = parse("f", &text) {
            refused += 1;
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
    assert!(refused > 300, "{refused}");
}
