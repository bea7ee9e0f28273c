// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop-plugin` as the runner of the public conformance suite starts it.

use std::io::Write;
use std::process::{Command, Stdio};

use kop_harness::plugin::{ENGINES, Plugin, PluginError};
use kop_ops::ebpf::{encode_program, parse_program};
use kop_ops::program::MAY_GOTO_BUDGET;

fn bytes(source: &str) -> Vec<u8> {
    encode_program(&parse_program(source).expect("it parses"))
}

/// Each byte with two blanks behind it, as the runner writes them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}  ")).collect()
}

/// Exit code, standard output and standard error.
fn plugin(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kop-plugin"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A plugin that does not read its input closes the pipe.
    let _ = child.stdin.take().expect("it has a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn r0_is_all_that_is_printed() {
    let program = hex(&bytes("r0 = *(u16 *)(r1 + 1)\nr0 += r2\nexit")) + "\n";
    for engine in ["--engine spec", "--engine=spec"] {
        assert_eq!(plugin(&["01  02  03  ", engine], &program), (Some(0), "305\n".to_owned(), String::new()));
    }
    let no_memory = hex(&bytes("r0 = -2\nexit")) + "\n";
    assert_eq!(plugin(&["", "--engine spec"], &no_memory).1, "fffffffffffffffe\n");
    let (code, out, _) = plugin(&["--engine", "spec", "--program", &no_memory, ""], "");
    assert_eq!((code, out.as_str()), (Some(0), "fffffffffffffffe\n"));
}

#[test]
fn what_goes_wrong_is_said_on_standard_error() {
    let faults = hex(&bytes("r0 = *(u64 *)(r1 - 8)\nexit"));
    let rejected = "95 00 00 00 01 00 00 00";
    for (args, input, code, said) in [
        (&["", "--engine spec"][..], faults.as_str(), 1, "instruction 0: bad read at window-0x8"),
        (&["--engine", "spec"], rejected, 2, "slot 0: reserved field imm"),
        (&["--engine", "spec"], "", 2, "empty"),
        (&["--engine", "spec"], "95 xx", 2, "xx"),
        (&["--engine", "none"], "", 2, "unknown engine `none`"),
        (&["--debug"], "", 2, "--debug"),
    ] {
        let (ended, out, err) = plugin(args, input);
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{args:?}: {err}");
        assert!(err.starts_with("kop-plugin: ") && err.contains(said) && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn help_names_every_engine() {
    let (code, out, _) = plugin(&["--help"], "");
    assert_eq!(code, Some(0));
    assert!(ENGINES.iter().all(|(name, _)| out.contains(name)), "{out}");
}

/// Each frame has a budget of its own, which all of its `may_goto` share. The kernel's, since Linux 6.15, is a time on
/// x86-64, so that it is not asked.
#[test]
fn may_goto_jumps_when_its_budget_is_used_up() {
    let source = "
        r6 = 0
    again:
        may_goto +2
        r6 += 1
        goto again
        call f
        r0 += r6
        exit
    f:
        r0 = 0
        may_goto +1
        r0 += 1
        may_goto +1
        r0 += 1
        exit";
    for (name, _) in ENGINES {
        match Plugin::new(name).and_then(|mut plugin| plugin.run(&bytes(source), &[])) {
            Err(PluginError::Absent(reason)) => println!("{name}: {reason}"),
            r0 => assert_eq!(r0, Ok(MAY_GOTO_BUDGET + 2), "{name}"),
        }
    }
}
