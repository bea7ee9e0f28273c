// SPDX-License-Identifier: GPL-2.0-or-later
//! Modules that are loaded into this process: they answer as in a child, and what crashes or hangs is told before the process
//! ends.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use kop_modules::in_process::{self, Crash};
use kop_modules::{ModuleKop, Options};
use kop_ops::{Arch, EmitRequest, Features, Kop, Pass};

const MOVE: &str = include_str!("modules/move.c");

/// What the process that is to crash loads.
const VARIABLE: &str = "KOP_TEST_CRASHING_MODULE";

/// Writes a module to a folder of its own.
fn write(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("move.c");
    fs::write(&path, text).expect("the folder is ours");
    path
}

fn one(loaded: Vec<ModuleKop>) -> ModuleKop {
    let [kop] = <[ModuleKop; 1]>::try_from(loaded).expect("it registers one operation");
    kop
}

/// Everything that an operation says to a payload.
fn said(kop: &ModuleKop, payload: u64) -> String {
    let form = &kop.forms()[0];
    let proof = kop.instantiate(form, payload);
    let emits = Arch::ALL.map(|arch| {
        let request = EmitRequest { arch, features: Features::NONE, payload, pass: Pass::Write, address: 0 };
        kop.emit(form, &request)
    });
    format!("{proof:?} {emits:?} {:?}", kop.callback_faults(form, payload))
}

#[test]
fn answers_are_those_of_a_child() {
    let modules = [
        ("sound", MOVE.to_owned()),
        ("offset", MOVE.replacen("*off += ", "*off += 1 + ", 1)),
        ("sizing writes", MOVE.replacen("if (emit)\n\t\tmemcpy", "memcpy", 1)),
    ];
    for (what, text) in modules {
        let folder = tempfile::tempdir().expect("there is room");
        let source = [write(&folder, &text)];
        let child = one(kop_modules::load(&source, &Options::default()).expect(what));
        let here = one(in_process::load(&source, &Options::default()).expect(what));
        assert_eq!(here.forms(), child.forms(), "{what}");
        let mut faulty = 0;
        for payload in (0..0x400).chain([1 << 51, 0x000f_ffff_ffff_ffff]) {
            let expected = said(&child, payload);
            assert_eq!(said(&here, payload), expected, "{what}: {payload:#x}");
            faulty += usize::from(expected.contains("CallbackFault"));
        }
        assert_eq!(faulty > 0, what != "sound", "{what}: {faulty} payloads with faults");
    }
}

fn tell(crash: &Crash) {
    let Crash { descriptor, callback, payload, what } = crash;
    eprintln!("told: {callback} of {}, payload {payload:#x}: {what}", descriptor.name);
}

/// What [`crashes`] starts: a process that asks for all payloads in turn, from the highest down.
#[test]
fn a_process_that_crashes() {
    let Some(source) = std::env::var_os(VARIABLE) else { return };
    let kop = one(in_process::load(&[source.into()], &Options::default()).expect("it loads"));
    in_process::watch(tell);
    for payload in (0..0x1000).rev() {
        said(&kop, payload);
    }
    println!("it went on");
}

/// Runs a module in a process of its own, where it is to crash.
fn crashes(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("there is room");
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_process_that_crashes", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, write(&folder, text))
        .output()
        .expect("it starts")
}

#[test]
fn a_crash_is_told_with_callback_and_payload() {
    // Learning, which happens in children, has to survive each of them.
    let body = "int err = decode(payload, &dst, &src);\n";
    assert!(MOVE.contains(body), "the module has changed");
    let cases = [
        ("*(volatile int *)8 = 1;", "SIGSEGV"),
        ("__builtin_trap();", "SIGILL"),
        ("for (;;) barrier();", "no end after two seconds of CPU time"),
    ];
    for (crash, word) in cases {
        let crash = format!("{body}\tif (payload == 0x35) {crash}\n");
        let output = crashes(&MOVE.replacen(body, &crash, 1));
        let said = String::from_utf8_lossy(&output.stderr);
        let told = said.lines().find(|line| line.starts_with("told: "));
        let told = told.unwrap_or_else(|| panic!("nothing was told: {said}"));
        assert!(told.contains(" of bpf_move, payload 0x35: ") && told.contains(word), "{told}");
        assert!(!output.status.success() && output.status.code().is_none(), "{}", output.status);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("it went on"));
    }
}
