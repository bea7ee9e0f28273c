// SPDX-License-Identifier: GPL-2.0-or-later
//! eBPF instructions as the kernel's macros (`include/linux/filter.h`).

use super::expression::{Scope, Used};
use super::lines::{Line, line};
use crate::export::fit::{Run, Template, ones};
use crate::export::tree::Step;

/// Instructions that follow each other, as the entries of one list.
pub fn steps(scope: &Scope, used: &Used, steps: &[&Step]) -> Vec<Line> {
    let mut lines = vec![line("PROOF(proof,")];
    for (number, step) in steps.iter().enumerate() {
        let end = if number + 1 == steps.len() { ");" } else { "," };
        let text = format!("{}{end}", macro_of(scope, used, &step.template));
        lines.push(Line { depth: 1, text });
    }
    lines
}

/// The fields of an instruction slot as C.
struct Slot {
    code: Option<u8>,
    code_text: String,
    dst: String,
    src: String,
    off: String,
    imm: String,
}

fn macro_of(scope: &Scope, used: &Used, template: &Template) -> String {
    let field = |low: u32, width: u32, signed: bool| field(scope, used, template, low, width, signed);
    let register = |low: u32| {
        let text = field(low, 4, false);
        text.parse::<u8>().map_or(text, |number| format!("BPF_REG_{number}"))
    };
    let is_constant = template.runs.iter().all(|run| run.low >= 8);
    let slot = Slot {
        code: is_constant.then_some(template.constant as u8),
        code_text: field(0, 8, false),
        dst: register(8),
        src: register(12),
        off: field(16, 16, true),
        imm: field(32, 32, true),
    };
    if template.len == 16 {
        return wide(&slot, &field(64 + 32, 32, true), template);
    }
    let text = slot.code.and_then(|code| slot.macro_text(code));
    text.unwrap_or_else(|| {
        format!(
            "BPF_RAW_INSN({}, {}, {}, {}, {})",
            slot.code_text,
            raw(&slot.dst),
            raw(&slot.src),
            slot.off,
            slot.imm
        )
    })
}

/// A register's number rather than its name, where it is 0 only because the field is not used.
fn raw(register: &str) -> &str {
    if register == "BPF_REG_0" { "0" } else { register }
}

/// The load of a 64-bit immediate.
fn wide(slot: &Slot, high: &str, template: &Template) -> String {
    let constant =
        |low: u32| template.runs.iter().all(|run| run.low + run.width <= low || low + 32 <= run.low);
    if slot.src == "BPF_REG_0" && slot.off == "0" && constant(32) && constant(96) {
        let number = (template.constant >> 32) as u32 as u64 | ((template.constant >> 96) as u64) << 32;
        return format!("BPF_LD_IMM64({}, {number:#x}ULL)", slot.dst);
    }
    format!(
        "BPF_LD_IMM64_RAW({}, {}, (u64)(u32)({high}) << 32 | (u32)({}))",
        slot.dst,
        raw(&slot.src),
        slot.imm
    )
}

/// A field of a slot as C.
fn field(scope: &Scope, used: &Used, template: &Template, low: u32, width: u32, signed: bool) -> String {
    let constant = (template.constant >> low & ones(width)) as u64;
    let runs: Vec<&Run> =
        template.runs.iter().filter(|run| run.low < low + width && low < run.low + run.width).collect();
    match runs[..] {
        [] if signed => ((constant << (64 - width)) as i64 >> (64 - width)).to_string(),
        [] => constant.to_string(),
        [run] if run.low == low && run.width == width => scope.number(run, &used.tables),
        [run] if run.low == low && constant == 0 => match &run.source {
            crate::export::fit::Source::Value {
                value: crate::export::value::Value::Sum(sum, add), ..
            } if scope.fits(sum, *add, run.width) => scope.number(run, &used.tables),
            _ => scope.bits(run, &used.tables),
        },
        _ => {
            let terms =
                runs.iter().map(|run| format!("({}) << {}", scope.bits(run, &used.tables), run.low - low));
            terms.fold(format!("{constant:#x}"), |text, term| format!("{text} | {term}"))
        }
    }
}

impl Slot {
    /// The kernel's macro with this opcode; none where it has fields that the macro has no place for.
    fn macro_text(&self, code: u8) -> Option<String> {
        let zero = |fields: &[&String]| fields.iter().all(|field| *field == "0" || *field == "BPF_REG_0");
        let (dst, src, off, imm) = (&self.dst, &self.src, &self.off, &self.imm);
        let text = match code & 7 {
            4 | 7 => return self.alu(code),
            5 | 6 => return self.jump(code),
            1 if matches!(code & 0xe0, 0x60 | 0x80) && zero(&[imm]) => {
                let name = if code & 0xe0 == 0x60 { "BPF_LDX_MEM" } else { "BPF_LDX_MEMSX" };
                format!("{name}({}, {dst}, {src}, {off})", size(code))
            }
            2 if code & 0xe0 == 0x60 && zero(&[src]) => {
                format!("BPF_ST_MEM({}, {dst}, {off}, {imm})", size(code))
            }
            3 if code & 0xe0 == 0x60 && zero(&[imm]) => {
                format!("BPF_STX_MEM({}, {dst}, {src}, {off})", size(code))
            }
            3 if code & 0xe0 == 0xc0 => {
                format!("BPF_ATOMIC_OP({}, {imm}, {dst}, {src}, {off})", size(code))
            }
            _ => return None,
        };
        Some(text)
    }

    fn alu(&self, code: u8) -> Option<String> {
        const OPS: [&str; 14] = [
            "ADD", "SUB", "MUL", "DIV", "OR", "AND", "LSH", "RSH", "NEG", "MOD", "XOR", "MOV", "ARSH", "END",
        ];
        let zero = |fields: &[&String]| fields.iter().all(|field| *field == "0" || *field == "BPF_REG_0");
        let (dst, src, off, imm) = (&self.dst, &self.src, &self.off, &self.imm);
        let width = if code & 7 == 7 { 64 } else { 32 };
        let by_register = code & 8 != 0;
        let op = OPS.get(usize::from(code >> 4))?;
        Some(match (*op, by_register) {
            ("END", _) if zero(&[src, off]) && width == 64 && !by_register => {
                format!("BPF_BSWAP({dst}, {imm})")
            }
            ("END", _) if zero(&[src, off]) && width == 32 => {
                format!("BPF_ENDIAN(BPF_TO_{}, {dst}, {imm})", if by_register { "BE" } else { "LE" })
            }
            ("END", _) => return None,
            ("MOV", true) if zero(&[imm, off]) => format!("BPF_MOV{width}_REG({dst}, {src})"),
            ("MOV", true) if zero(&[imm]) => format!("BPF_MOVSX{width}_REG({dst}, {src}, {off})"),
            ("MOV", false) if zero(&[src, off]) => format!("BPF_MOV{width}_IMM({dst}, {imm})"),
            (op, true) if zero(&[imm, off]) => format!("BPF_ALU{width}_REG(BPF_{op}, {dst}, {src})"),
            (op, true) if zero(&[imm]) => format!("BPF_ALU{width}_REG_OFF(BPF_{op}, {dst}, {src}, {off})"),
            (op, false) if zero(&[src, off]) => format!("BPF_ALU{width}_IMM(BPF_{op}, {dst}, {imm})"),
            (op, false) if zero(&[src]) => format!("BPF_ALU{width}_IMM_OFF(BPF_{op}, {dst}, {imm}, {off})"),
            _ => return None,
        })
    }

    fn jump(&self, code: u8) -> Option<String> {
        const OPS: [&str; 14] = [
            "JA", "JEQ", "JGT", "JGE", "JSET", "JNE", "JSGT", "JSGE", "CALL", "EXIT", "JLT", "JLE", "JSLT",
            "JSLE",
        ];
        let zero = |fields: &[&String]| fields.iter().all(|field| *field == "0" || *field == "BPF_REG_0");
        let (dst, src, off, imm) = (&self.dst, &self.src, &self.off, &self.imm);
        let class = if code & 7 == 5 { "JMP" } else { "JMP32" };
        let op = OPS.get(usize::from(code >> 4))?;
        Some(match (*op, code & 8 != 0) {
            ("JA", false) if class == "JMP" && zero(&[dst, src, imm]) => format!("BPF_JMP_A({off})"),
            ("JA" | "CALL" | "EXIT", _) => return None,
            (op, true) if zero(&[imm]) => format!("BPF_{class}_REG(BPF_{op}, {dst}, {src}, {off})"),
            (op, false) if zero(&[src]) => format!("BPF_{class}_IMM(BPF_{op}, {dst}, {imm}, {off})"),
            _ => return None,
        })
    }
}

/// The size in the opcode of a load or store.
fn size(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "BPF_W",
        0x08 => "BPF_H",
        0x10 => "BPF_B",
        _ => "BPF_DW",
    }
}
