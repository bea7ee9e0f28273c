// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs and what they are rewritten to do the same on every engine; and mistakes of the rewriter are caught, both when a site is
//! made and when programs run.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use kop_harness::program::{ProgramCase, ProgramRig};
use kop_harness::rewrite::{Proved, case, compare};
use kop_jit::load::{LoadOptions, load};
use kop_jit::rewrite::{Branches, Claim, Options, Planted, Validator};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Arch, Catalog};
use parallel::of_each;

mod parallel;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn seeded(number: u64) -> Seeded {
    Seeded::derived(0x7265_7772, &[number])
}

/// Programs are rewritten for the one architecture and the other in turn.
fn arch(number: u64) -> Option<Arch> {
    Some(Arch::ALL[number as usize % 2])
}

/// Lets everything through.
struct Trusting;

impl Validator for Trusting {
    fn validate(&mut self, _claim: &Claim) -> Result<String, String> {
        Ok("trusted".to_owned())
    }
}

/// Compares generated programs with what they are rewritten to; gives the sites and how many runs were compared.
fn rewritten(numbers: Range<u64>) -> (Vec<String>, usize) {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::available();
    let mut proved = Proved::default();
    let (mut sites, mut runs) = (Vec::new(), 0);
    for number in numbers {
        let case = case(&mut seeded(number));
        let options = Options { arch: arch(number), branches: Branches::All, ..Options::new(&catalog) };
        let trial = compare(&mut rig, &case, &catalog, (&options, &mut proved)).expect("a case");
        assert!(trial.difference.is_none(), "{:?}\n{case}\n{:?}", trial.difference, trial.rewritten.found);
        sites.extend(trial.rewritten.found.into_iter().map(|found| format!("{}.{}", found.kop, found.form)));
        runs += trial.runs;
    }
    (sites, runs)
}

#[test]
fn generated_programs_do_the_same_when_rewritten() {
    let parts = of_each(&[0..125, 125..250], |numbers| [rewritten(numbers.clone())]);
    let runs: usize = parts.iter().map(|(_, runs)| runs).sum();
    let sites: Vec<String> = parts.into_iter().flat_map(|(sites, _)| sites).collect();
    for form in [
        "rotate.imm64",
        "rotate.imm32",
        "rotate.reg64",
        "extract.unsigned",
        "extract.signed",
        "swapped_load.be16",
        "wide_store.le16",
        "wide_store.be16",
        "bulk_fill.zero",
        "bulk_fill.byte",
        "load_pair.pair64",
        "load_pair.pair32",
        "store_pair.pair64",
        "store_pair.pair32",
        "bitwise_not.and64",
        "lowest_bit.clear64",
        "absolute.abs64",
        "select.compare64",
        "select.compare32",
        "select.number64",
        "select.number32",
        "table_lookup.nibble64",
        "table_lookup.nibble32",
        "compare_chain.both32",
    ] {
        assert!(sites.iter().any(|site| site == form), "no {form} among {} sites", sites.len());
    }
    assert!(sites.len() > 100 && runs > 100, "{} sites, {runs} runs", sites.len());
}

/// Programs for which `planted` makes sites that validation lets through, and for which it makes wrong ones where nothing validates.
#[test]
fn mistakes_are_caught_when_made_and_when_run() {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::with(|name| name.starts_with("semantics") || name == "unicorn-x86_64");
    for &planted in Planted::ALL {
        let all = Options { branches: Branches::All, ..Options::new(&catalog) };
        let mut proved = Proved::default();
        let mut differing = 0;
        for number in 0..400 {
            let case = case(&mut seeded(number));
            let checked = Options { arch: arch(number), planted: Some(planted), ..all };
            let unchecked = Options { checked: false, ..checked };
            let Ok(trial) = compare(&mut rig, &case, &catalog, (&unchecked, &mut Trusting)) else { continue };
            if trial.difference.is_none() {
                continue;
            }
            differing += 1;
            let trial = compare(&mut rig, &case, &catalog, (&checked, &mut proved)).expect("a case");
            assert!(trial.difference.is_none(), "{}: {:?}\n{case}", planted.name(), trial.difference);
            if differing == 5 {
                break;
            }
        }
        assert!(differing > 0, "{} makes no difference in 400 programs", planted.name());
    }
}

/// Compiled programs of the corpus, wherever they are below the folder for them.
fn compiled() -> Vec<PathBuf> {
    let made =
        Command::new("make").args(["--silent", "programs"]).current_dir(ROOT).output().expect("make runs");
    assert!(made.status.success(), "make programs: {}", String::from_utf8_lossy(&made.stderr));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(Path::new(ROOT).join("target"), PathBuf::from);
    let mut found = Vec::new();
    let mut folders = vec![target.join("programs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("programs are compiled into it").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "o") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn programs_of_the_corpus_do_the_same_when_rewritten() {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::with(|name| name.starts_with("unicorn") || name == "host");
    let mut proved = Proved::default();
    let (mut sites, mut programs) = (0, 0);
    for path in compiled() {
        let elf = std::fs::read(&path).expect("it was compiled");
        let Ok(object) = load(&elf, &LoadOptions::default()) else { continue };
        let mut noise = seeded(7);
        let packet = (0..128).map(|_| noise.bits() as u8).collect();
        let case = ProgramCase { packet, garbage: 5, ..ProgramCase::of(object) };
        let options = Options { arch: arch(programs), branches: Branches::All, ..Options::new(&catalog) };
        let Ok(trial) = compare(&mut rig, &case, &catalog, (&options, &mut proved)) else { continue };
        assert!(trial.difference.is_none(), "{}: {:?}", path.display(), trial.difference);
        programs += 1;
        sites += trial.rewritten.found.len();
    }
    assert!(programs > 20 && sites > 50, "{sites} sites in {programs} programs");
}

/// Counts the bytes of the packet whose sixth bit is set, and every third one.
const COUNTING: &str = ".program counting raw\nr0 = 0\nr4 = 0\nr3 = *(u8 *)(r1 + 0)\nr3 &= 63\n\
                        r5 = r0\nr5 += 1\nif r3 > 31 goto +1\nr0 = r5\n\
                        r4 += 1\nif r4 != 3 goto +1\nr4 = 0\nr1 += 1\nr2 += -1\nif r2 != 0 goto -12\nexit\n";

#[test]
fn a_profile_says_which_branches_become_selects() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str| folder.path().join(name);
    let mut noise = seeded(3);
    let packet: Vec<u8> = (0..1400).map(|_| noise.bits() as u8).collect();
    std::fs::write(file("counting.s"), COUNTING).expect("a file");
    std::fs::write(file("packet.bin"), packet).expect("a file");
    let kop = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
        let output = command.args(arguments).current_dir(&folder).output().expect("kop runs");
        let text = String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let (code, text) = kop(&["rewrite", "counting.s"]);
    assert!(
        code == Some(0) && text.contains("6: not select.compare64: it is left a branch: there is no profile"),
        "{text}"
    );
    let (code, text) =
        kop(&["run", "counting.s", "--packet", "packet.bin", "--collect-profile", "counting.profile"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = kop(&["rewrite", "counting.s", "--profile", "counting.profile", "-o", "selected.s"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("    6: select.number64 dst=r0 left=r3 number=31 a=r5 when=8, in place of 6-7"),
        "{text}"
    );
    assert!(text.contains("    9: not select.compare64: it is left a branch: of 1400 predictions"), "{text}");
    let (code, text) = kop(&["run", "selected.s", "--packet", "packet.bin", "--all-engines"]);
    assert_eq!(code, Some(0), "{text}");
    // The profile is of those instructions alone.
    std::fs::write(file("counting.s"), COUNTING.replace("r3 > 31", "r3 > 30")).expect("a file");
    let (code, text) = kop(&["rewrite", "counting.s", "--profile", "counting.profile"]);
    assert!(code == Some(2) && text.contains("collect it again"), "{text}");
}
