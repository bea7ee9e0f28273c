// SPDX-License-Identifier: GPL-2.0-or-later
//! The files of an operation: a header with payloads and proof sequences, a source with the emits for each architecture,
//! and a Makefile.

use kop_ops::{Arch, Features, Kop};

use super::block::block;
use super::decode::decoder;
use super::expression::{Scope, Used, cpu_has};
use super::lines::{Line, deeper, line, print};
use super::names::{identifier, operand};
use super::{aarch64, proof, x86_64};
use crate::export::fit::Source;
use crate::export::program::Statement;
use crate::export::target::Target;
use crate::export::{ExportedForm, File};

const HEADER: &str = include_str!("prelude.h");
const X86_64: &str = include_str!("prelude_x86.c");
const AARCH64: &str = include_str!("prelude_arm64.c");

/// All files of the operation.
pub fn files(kop: &dyn Kop, forms: &[ExportedForm]) -> Vec<File> {
    let name = identifier(kop.name());
    let mut files = vec![File { name: format!("{name}.h"), text: header(kop, &name, forms) }];
    for arch in Arch::ALL {
        files
            .push(File { name: format!("{name}_{}.c", suffix(arch)), text: source(kop, &name, arch, forms) });
    }
    files.push(File { name: "Makefile".to_owned(), text: makefile(&name) });
    files
}

/// The kernel's name of an architecture.
pub fn suffix(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86",
        Arch::Aarch64 => "arm64",
    }
}

fn makefile(name: &str) -> String {
    include_str!("Makefile.in").replace("@OP@", name)
}

fn header(kop: &dyn Kop, name: &str, forms: &[ExportedForm]) -> String {
    let guard = format!("KOP_{}_H", name.to_uppercase());
    let mut lines = Vec::new();
    for exported in forms {
        lines.push(line(""));
        lines.extend(about(exported));
        lines.extend(decoder(&exported.prefix, exported.form, &exported.rules));
        lines.push(line(""));
        lines.extend(proof_function(exported));
    }
    let room = forms.iter().map(|exported| exported.limits.max_insn_cnt).max().unwrap_or_default();
    HEADER
        .replace("@TITLE@", &title(kop))
        .replace("@SOURCE@", kop.source())
        .replace("@GUARD@", &guard)
        .replace("@ROOM@", &room.to_string())
        .replace("@FORMS@", &print(&lines))
}

fn title(kop: &dyn Kop) -> String {
    format!("{}: {}", kop.name(), kop.summary())
}

/// What the form does and what its user has to know.
fn about(exported: &ExportedForm) -> Vec<Line> {
    let mut lines = vec![line("/*"), line(format!(" * {}: {}", exported.operation, exported.form.meaning))];
    for contract in &exported.contracts {
        lines.push(line(format!(
            " * Site contract: {contract}, the registers there hold garbage afterwards."
        )));
    }
    lines.push(line(" */"));
    lines
}

fn proof_function(exported: &ExportedForm) -> Vec<Line> {
    let (prefix, operation) = (&exported.prefix, &exported.operation);
    let scope = Scope { target: Target::Proof, fields: exported.form.layout.fields(), through: "" };
    let used = scope.used(&exported.proof);
    let mut lines =
        vec![line(format!("static int {prefix}_proof(const struct {prefix} *op, struct proof *proof)"))];
    let steps = |steps: &[&crate::export::tree::Step]| proof::steps(&scope, &used, steps);
    lines.extend(body(&scope, &used, &exported.proof, |name| format!("op->{name}"), &steps));
    lines.push(line(""));
    lines.push(line(format!("static int {operation}_instantiate(u64 payload, struct bpf_insn *insn_buf)")));
    lines.push(line("{"));
    lines.extend(deeper(vec![
        line(format!(
            "struct proof proof = {{ .insns = insn_buf, .room = {} }};",
            exported.limits.max_insn_cnt
        )),
        line(format!("struct {prefix} op;")),
        line("int err;"),
        line(""),
        line(format!("err = {prefix}_decode(payload, &op);")),
        line("if (!err)"),
        Line { depth: 1, text: format!("err = {prefix}_proof(&op, &proof);") },
        line("if (err)"),
        Line { depth: 1, text: "return err;".to_owned() },
        line("return proof.len <= proof.room ? proof.len : -E2BIG;"),
    ]));
    lines.push(line("}"));
    lines
}

/// A function's body: its locals and tables, the statements, and success.
fn body(
    scope: &Scope,
    used: &Used,
    statements: &[Statement],
    value: impl Fn(&str) -> String,
    steps: &impl Fn(&[&crate::export::tree::Step]) -> Vec<Line>,
) -> Vec<Line> {
    let mut inner = tables(used);
    inner.extend(locals(scope, used, value));
    if !inner.is_empty() {
        inner.push(line(""));
    }
    let statements = block(scope, statements, steps);
    let returns = statements.last().is_some_and(|last| last.depth == 0 && last.text.starts_with("return"));
    inner.extend(statements);
    if !returns {
        inner.push(line("return 0;"));
    }
    let mut lines = vec![line("{")];
    lines.extend(deeper(inner));
    lines.push(line("}"));
    lines
}

/// A local for each operand that is used; `value` gives a register's number in the encoding.
fn locals(scope: &Scope, used: &Used, value: impl Fn(&str) -> String) -> Vec<Line> {
    let local = |&field: &usize| {
        let field = &scope.fields[field];
        let name = operand(field);
        let from = if field.is_register() { value(&name) } else { format!("op->{name}") };
        line(format!("const {} {name} = {from};", super::expression::c_type(field)))
    };
    used.fields.iter().map(local).collect()
}

fn tables(used: &Used) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, source) in used.tables.iter().enumerate() {
        let Source::Table { entries, .. } = source else { continue };
        let most = entries.iter().copied().max().unwrap_or_default();
        let c_type = [(0xff, "u8"), (0xffff, "u16"), (0xffff_ffff, "u32")];
        let c_type = c_type.iter().find(|(max, _)| most <= *max).map_or("u64", |found| found.1);
        lines.push(line(format!("static const {c_type} table{number}[] = {{")));
        for row in entries.chunks(8) {
            let row: Vec<String> = row.iter().map(|entry| format!("{entry:#x}")).collect();
            lines.push(Line { depth: 1, text: format!("{},", row.join(", ")) });
        }
        lines.push(line("};"));
    }
    lines
}

fn source(kop: &dyn Kop, name: &str, arch: Arch, forms: &[ExportedForm]) -> String {
    let mut functions = Vec::new();
    for exported in forms {
        functions.extend(emit(exported, arch));
        functions.push(line(""));
        functions.extend(descriptor(exported, arch));
        functions.push(line(""));
    }
    let prelude = match arch {
        Arch::X86_64 => X86_64,
        Arch::Aarch64 => AARCH64,
    };
    let most = forms.iter().map(|exported| exported.limits.max_emit_bytes).max().unwrap_or_default();
    prelude
        .replace("@TITLE@", &title(kop))
        .replace("@SOURCE@", kop.source())
        .replace("@OP@", name)
        .replace("@MOST@", &most.to_string())
        .replace("@WORDS@", &most.div_ceil(4).to_string())
        .replace("@EMITS@\n", &print(&functions))
        .replace("@REGISTRATION@\n", &print(&registration(kop, name, arch, forms)))
}

fn emit(exported: &ExportedForm, arch: Arch) -> Vec<Line> {
    let Some(statements) = exported.emit(arch) else { return Vec::new() };
    let (prefix, operation, suffix) = (&exported.prefix, &exported.operation, suffix(arch));
    let scope = Scope { target: Target::Native(arch), fields: exported.form.layout.fields(), through: "" };
    let used = scope.used(statements);
    let mut lines =
        vec![line(format!("static int {prefix}_{suffix}(const struct {prefix} *op, struct code *code)"))];
    let steps = |steps: &[&crate::export::tree::Step]| match arch {
        Arch::X86_64 => x86_64::steps(&scope, &used, steps),
        Arch::Aarch64 => aarch64::steps(&scope, &used, steps),
    };
    let map = match arch {
        Arch::X86_64 => "x86_reg",
        Arch::Aarch64 => "a64_reg",
    };
    lines.extend(body(&scope, &used, statements, |name| format!("{map}[op->{name}]"), &steps));
    let signature = match arch {
        Arch::X86_64 => "u8 *image, u32 *off",
        Arch::Aarch64 => "u32 *image, int *idx",
    };
    let at = if arch == Arch::X86_64 { "off" } else { "idx" };
    lines.push(line(""));
    lines.push(line(format!(
        "static int {operation}_emit_{suffix}({signature}, bool emit, u64 payload, const struct bpf_prog *prog)"
    )));
    lines.push(line("{"));
    lines.extend(deeper(vec![
        line("struct code code = { .len = 0 };"),
        line(format!("struct {prefix} op;")),
        line("int err;"),
        line(""),
        line(format!("err = {prefix}_decode(payload, &op);")),
        line("if (!err)"),
        Line { depth: 1, text: format!("err = {prefix}_{suffix}(&op, &code);") },
        line("if (err)"),
        Line { depth: 1, text: "return err;".to_owned() },
        line(format!("return finish(&code, image, {at}, emit);")),
    ]));
    lines.push(line("}"));
    lines
}

fn descriptor(exported: &ExportedForm, arch: Arch) -> Vec<Line> {
    let operation = &exported.operation;
    // Written once more when the module is loaded, where a CPU has no emit.
    let constant = if exported.required(arch).is_empty() { "const " } else { "" };
    let mut members = vec![
        line(".owner = THIS_MODULE,"),
        line(format!(".max_insn_cnt = {},", exported.limits.max_insn_cnt)),
        line(format!(".max_emit_bytes = {},", exported.limits.max_emit_bytes)),
        line(format!(".instantiate_insn = {operation}_instantiate,")),
    ];
    if exported.emit(arch).is_some() {
        let suffix = suffix(arch);
        members.push(line(format!(".emit_{suffix} = {operation}_emit_{suffix},")));
    }
    let mut lines = vec![line(format!("static {constant}struct bpf_kinsn {operation}_desc = {{"))];
    lines.extend(deeper(members));
    lines.push(line("};"));
    lines
}

fn registration(kop: &dyn Kop, name: &str, arch: Arch, forms: &[ExportedForm]) -> Vec<Line> {
    let each = |text: &dyn Fn(&ExportedForm) -> String| {
        forms.iter().map(|form| line(text(form))).collect::<Vec<_>>()
    };
    let mut lines = vec![line("__bpf_kfunc_start_defs();"), line("")];
    for exported in forms {
        lines.extend([
            line(format!("__bpf_kfunc void {}(void)", exported.operation)),
            line("{"),
            line("}"),
            line(""),
        ]);
    }
    lines.extend([line("__bpf_kfunc_end_defs();"), line(""), line(format!("BTF_KFUNCS_START({name}_ids)"))]);
    lines.extend(each(&|form| format!("BTF_ID_FLAGS(func, {})", form.operation)));
    lines.extend([line(format!("BTF_KFUNCS_END({name}_ids)")), line("")]);
    lines.push(line(format!("static const struct bpf_kinsn * const {name}_descs[] = {{")));
    lines.extend(deeper(each(&|form| format!("&{}_desc,", form.operation))));
    lines.extend([line("};"), line("")]);
    lines.push(line(format!("static const struct btf_kfunc_id_set {name}_set = {{")));
    lines.extend(deeper(vec![
        line(".owner = THIS_MODULE,"),
        line(format!(".set = &{name}_ids,")),
        line(format!(".kinsn_descs = {name}_descs,")),
    ]));
    lines.extend([line("};"), line(""), line(format!("static int __init {name}_init(void)")), line("{")]);
    let mut body = Vec::new();
    for exported in forms {
        let missing: Vec<String> =
            exported.required(arch).iter().map(|feature| format!("!{}", cpu_has(feature))).collect();
        if !missing.is_empty() {
            body.push(line(format!("if ({})", missing.join(" || "))));
            let text = format!("{}_desc.emit_{} = NULL;", exported.operation, suffix(arch));
            body.push(Line { depth: 1, text });
        }
    }
    if !body.is_empty() {
        body.insert(0, line("/* Without its emit an operation is compiled from its proof sequence. */"));
    }
    body.push(line(format!("return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &{name}_set);")));
    lines.extend(deeper(body));
    lines.extend([line("}"), line(format!("module_init({name}_init);")), line("")]);
    lines.extend([line(format!("static void __exit {name}_exit(void)")), line("{"), line("}")]);
    lines.extend([line(format!("module_exit({name}_exit);")), line("")]);
    let summary = format!("{} ({})", title(kop), suffix(arch)).replace(['"', '\\'], "'");
    lines.push(line(format!("MODULE_DESCRIPTION(\"{summary}\");")));
    lines.extend([line("MODULE_AUTHOR(\"kop export\");"), line("MODULE_LICENSE(\"GPL\");")]);
    lines
}

/// The features without which there is no native form: those that every set with one has, if that is all it takes.
pub fn required(sets: &[(Features, bool)]) -> Features {
    let with: Vec<Features> = sets.iter().filter(|set| set.1).map(|set| set.0).collect();
    let Some(&first) = with.first() else { return Features::NONE };
    let common = with.iter().fold(first, |common, set| common.minus(common.minus(*set)));
    let decides = sets.iter().all(|(set, emits)| set.contains(common) == *emits);
    if decides { common } else { Features::NONE }
}
