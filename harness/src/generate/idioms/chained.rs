// SPDX-License-Identifier: GPL-2.0-or-later
//! Two programs of idioms, of which the first goes on with the second: their data is a packet, which both check.

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, Cond, Insn, Reg, Size};
use kop_ops::program::{MAP_INDEX, MapKind, MapSpec};
use kop_ops::{Flow, Object, Program, ProgramKind};

use super::{DATA, STACK, Writer};

/// `bpf_tail_call` (`enum bpf_func_id`).
const TAIL_CALL: i32 = 12;

/// Where the first program keeps its context, below the array of the statements.
const CONTEXT: i16 = -STACK - 8;

/// The programs; the elements of the second one's arrays are where its r10 says.
pub(super) fn object(choices: &mut impl Choices) -> Object {
    let programs = ["main", "next"].map(|name| {
        let mut writer = Writer { choices: &mut *choices, insns: Vec::new(), calls: Vec::new() };
        writer.start_of_packet();
        for _ in 0..=writer.choices.below(3) {
            writer.statement();
        }
        writer.element();
        match name {
            "main" => writer.go_on(),
            _ => writer.end(),
        }
        writer.function();
        let flow = Flow::new(writer.insns).expect("every jump is to an instruction of it");
        Program { name: name.to_owned(), kind: ProgramKind::Xdp, flow }
    });
    let index = |number: u32| number.to_le_bytes().to_vec();
    let map = MapSpec {
        name: "programs".to_owned(),
        kind: MapKind::ProgramArray,
        key_size: 4,
        value_size: 4,
        max_entries: 2,
        flags: 0,
        initial: vec![(index(1), index(1))],
    };
    Object {
        programs: programs.into(),
        maps: vec![map].into(),
        license: "GPL".to_owned(),
        ..Object::default()
    }
}

impl<C: Choices> Writer<'_, C> {
    /// As [`Writer::start`], on a packet with as many bytes of data.
    fn start_of_packet(&mut self) {
        self.put(Insn::store(Size::B8, Reg::R10, CONTEXT, Reg::R1));
        self.put(Insn::load(Size::B4, Reg::R7, Reg::R1, 4));
        self.put(Insn::load(Size::B4, Reg::R1, Reg::R1, 0));
        self.put(Insn::mov64(Reg::R2, Reg::R1));
        self.put(Insn::alu64(AluOp::Add, Reg::R2, DATA as i32));
        self.put(Insn::jump(Cond::Le, Reg::R2, Reg::R7, 2));
        self.put(Insn::mov64(Reg::R0, 0));
        self.put(Insn::Exit);
        self.start();
    }

    /// Goes on with the other program, in most cases.
    fn go_on(&mut self) {
        self.put(Insn::load(Size::B8, Reg::R1, Reg::R10, CONTEXT));
        self.put(Insn::LoadImm64 { dst: Reg::R2, kind: MAP_INDEX, imm: 0 });
        let index = if self.choices.one_in(4) { 0 } else { 1 };
        self.put(Insn::mov32(Reg::R3, index));
        self.put(Insn::call_helper(TAIL_CALL));
        self.put(Insn::mov64(Reg::R0, 7));
        self.put(Insn::Exit);
    }
}
