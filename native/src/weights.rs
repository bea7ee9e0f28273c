// SPDX-License-Identifier: GPL-2.0-or-later
//! How often each instruction of a program runs, as far as the shape of the program says: a guess, for choices between compilers.

use kop_ops::Program;
use kop_ops::program::NOWHERE;

use crate::error::CompileError;
use crate::flat::Flat;

/// How many times a loop is taken to turn.
const TURNS: f64 = 8.0;

/// The most loops around an instruction that count.
const DEEPEST: i32 = 6;

/// How often an instruction of a program is taken to run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weight {
    /// How often it runs.
    pub runs: f64,
    /// In how many places it stands once local calls are replaced by what they call.
    pub places: u32,
}

/// The weight of each instruction of a program: eight times as much for each loop around it, and added up over all calls of its function.
///
/// # Errors
/// [`CompileError`] for calls that have no end and jumps between functions, as [`compile`](crate::compile).
pub fn weights(program: &Program) -> Result<Vec<Weight>, CompileError> {
    let flat = Flat::new(program)?;
    let depths = depths(&flat);
    let mut weights = vec![Weight::default(); program.flow.insns().len()];
    for (op, depth) in flat.ops.iter().zip(depths) {
        let weight = &mut weights[op.origin as usize];
        weight.runs += TURNS.powi(depth.min(DEEPEST));
        weight.places += 1;
    }
    Ok(weights)
}

/// How many loops are around each operation. A loop is what lies between a jump back and where it goes.
fn depths(flat: &Flat) -> Vec<i32> {
    let mut ends = vec![0; flat.ops.len()];
    for (index, op) in flat.ops.iter().enumerate() {
        let target = op.target as usize;
        if op.target != NOWHERE && target <= index {
            ends[target] = ends[target].max(index + 1);
        }
    }
    let mut changes = vec![0; flat.ops.len() + 1];
    for (start, end) in ends.into_iter().enumerate().filter(|(_, end)| *end > 0) {
        changes[start] += 1;
        changes[end] -= 1;
    }
    let mut depth = 0;
    let running = changes.into_iter().map(|change| {
        depth += change;
        depth
    });
    running.take(flat.ops.len()).collect()
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::parse_program;
    use kop_ops::{Flow, ProgramKind};

    use super::*;

    #[test]
    fn loops_and_calls_count() {
        let text = "r1 = 4\ncall pc+3\ncall pc+2\nr0 = 0\nexit\nr1 += -1\nif r1 != 0 goto -2\nexit";
        let flow = Flow::new(parse_program(text).expect("it parses")).expect("it is a program");
        let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
        let weights = weights(&program).expect("it ends");
        assert_eq!(weights[0], Weight { runs: 1.0, places: 1 });
        assert_eq!(weights[5], Weight { runs: 16.0, places: 2 });
        assert_eq!(weights[7], Weight { runs: 2.0, places: 2 });
    }
}
