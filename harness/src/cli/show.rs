// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop show`

use std::collections::BTreeMap;
use std::fmt::Write;

use kop_harness::describe::{native_listing, proof_listing};
use kop_harness::subject::Scope;
use kop_ops::choices::Seeded;
use kop_ops::{Arch, EmitRequest, Features, Form, Kop, Operands, Pass, Reject, Site};

use super::sources::{Sources, parse_payload};
use super::{Failure, Outcome, print_all};

/// Show an operation: semantics, payload layout, contract, proof, and the native code with its bytes
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop show rotate\n  kop show rotate imm64 dst=r3 src=r1 tmp=r2 amount=13\n  \
                        kop show swapped_load be64 off=-300\n  \
                        kop show bpf_rol64 payload=0x1d03 --module rotate_x86.c"
)]
pub struct Args {
    /// The operation (see `kop list`)
    op: String,
    /// Forms to show, all by default, and operands, such as dst=r3; what is not given is chosen. Or payload=0x..
    #[arg(value_name = "FORM | OPERAND=VALUE")]
    words: Vec<String>,
    #[command(flatten)]
    sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let loaded = args.sources.load()?;
    let kop = loaded.catalog().get(&args.op)?;
    let (assignments, names): (Vec<&String>, Vec<&String>) =
        args.words.iter().partition(|word| word.contains('='));
    let forms = forms(kop, &names)?;
    let assignments: Vec<(&str, &str)> = assignments.iter().filter_map(|word| word.split_once('=')).collect();
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}\nsource: {}\n", kop.name(), kop.summary(), kop.source());
    match given_payload(&assignments)? {
        Some(payload) => show_payload(&mut text, kop, &forms, payload),
        None => {
            for form in forms {
                show_form(&mut text, kop, form, &assignments)?;
            }
        }
    }
    print_all(text.as_bytes())
}

/// The payload of `payload=0x..`, which stands alone.
fn given_payload(assignments: &[(&str, &str)]) -> Result<Option<u64>, Failure> {
    let Some((_, value)) = assignments.iter().find(|(name, _)| *name == "payload") else { return Ok(None) };
    if assignments.len() > 1 {
        return Err(Failure::usage("payload=.. holds every operand; leave the others out"));
    }
    parse_payload(value).map(Some).map_err(|error| Failure::usage(format!("payload: {error}")))
}

/// What the operation makes of a raw payload, which need not be valid: in every form that holds it. Of a payload that none
/// holds, the callbacks still say something.
fn show_payload(text: &mut String, kop: &dyn Kop, forms: &[&Form], payload: u64) {
    let holds = |form: &&Form| form.layout.decode(payload).is_ok();
    let mut holders: Vec<&Form> = forms.iter().copied().filter(holds).collect();
    if holders.is_empty() {
        holders = forms[..1].to_vec();
    }
    for form in holders {
        show_layout(text, kop, form);
        match Site::decode(form, payload, Features::NONE) {
            Ok(site) => {
                let _ = writeln!(text, "  for {} (payload {payload:#x}):", form.layout.show(&site.operands));
                if let Err(reject) = kop.admits(&site) {
                    let _ = writeln!(text, "  refused: {reject}");
                }
                show_contract(text, kop, &site);
            }
            Err(reject) => {
                let _ = writeln!(text, "  for payload {payload:#x}, which no form holds: {reject}");
            }
        }
        show_code(text, kop, form, payload);
    }
}

fn forms<'k>(kop: &'k dyn Kop, names: &[&String]) -> Result<Vec<&'k Form>, Failure> {
    if names.is_empty() {
        return Ok(kop.forms().iter().collect());
    }
    names
        .iter()
        .map(|name| {
            kop.forms().iter().find(|form| form.name == name.as_str()).ok_or_else(|| {
                let known: Vec<&str> = kop.forms().iter().map(|form| &*form.name).collect();
                Failure::usage(format!("{} has no form `{name}` (it has {})", kop.name(), known.join(", ")))
            })
        })
        .collect()
}

fn show_form(
    text: &mut String,
    kop: &dyn Kop,
    form: &Form,
    assignments: &[(&str, &str)],
) -> Result<(), Failure> {
    show_layout(text, kop, form);
    let operands = choose(kop, form, assignments)?;
    let site = Site { form, operands, features: Features::NONE };
    kop.admits(&site).map_err(|reject| Failure::usage(format!("{} {}: {reject}", kop.name(), form.name)))?;
    let payload = form.layout.encode(&operands).map_err(Failure::usage)?;
    let _ = writeln!(text, "  for {} (payload {payload:#x}):", form.layout.show(&operands));
    show_contract(text, kop, &site);
    show_code(text, kop, form, payload);
    Ok(())
}

fn show_layout(text: &mut String, kop: &dyn Kop, form: &Form) {
    let limits = kop.limits(form);
    let _ = writeln!(text, "form {}: {}", form.name, form.meaning);
    for field in form.layout.fields() {
        let (min, max) = field.range();
        let what = match field.role() {
            Some(role) => format!("register r{min}..r{max}, {}", role.name()),
            None => format!("{min}..={max}"),
        };
        let bits = format!("payload[{}:{}]", field.low + field.width - 1, field.low);
        let _ = writeln!(text, "  {bits:<16}{:<8} {what}", field.name);
    }
    let _ = writeln!(
        text,
        "  at most {} instructions of proof, {} bytes of native code",
        limits.max_insn_cnt, limits.max_emit_bytes
    );
    if let Some(purpose) = kop.unseen_purpose() {
        let _ = writeln!(text, "  not shown by equivalence: {purpose}");
    }
    for remark in kop.remarks(form) {
        let _ = writeln!(text, "  remark: {remark}");
    }
}

/// Proof and native code of a payload, and what went wrong inside of the callbacks.
fn show_code(text: &mut String, kop: &dyn Kop, form: &Form, payload: u64) {
    for fault in kop.callback_faults(form, payload) {
        let _ = writeln!(text, "  fault: {}: {}", fault.callback, fault.message);
    }
    let _ = writeln!(text, "\n  proof");
    for (number, line) in proof_listing(kop, form, payload).iter().enumerate() {
        let _ = writeln!(text, "    {number:>3}: {line}");
    }
    for &arch in kop.archs(form) {
        show_native(text, kop, form, payload, arch);
    }
    let _ = writeln!(text);
}

fn show_contract(text: &mut String, kop: &dyn Kop, site: &Site) {
    let contract = kop.contract(site);
    let dead = if contract.dead.is_empty() { "none".to_owned() } else { contract.dead.to_string() };
    let _ = writeln!(text, "  contract: dead afterwards {dead}");
    for usage in &contract.memory {
        let verb = if usage.access == kop_ops::Access::Write { "writes" } else { "reads" };
        let _ =
            writeln!(text, "  contract: {verb} {} bytes at {} {:+}", usage.size, usage.base, usage.offset);
    }
}

fn show_native(text: &mut String, kop: &dyn Kop, form: &Form, payload: u64, arch: Arch) {
    let mut shown: Vec<Vec<u8>> = Vec::new();
    for features in Scope::default().feature_sets(kop, arch) {
        let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
        match kop.emit(form, &request) {
            Ok(emission) if shown.contains(&emission.bytes) => (),
            Ok(emission) => {
                let _ = writeln!(text, "\n  {arch}, features {features}: {} bytes", emission.bytes.len());
                for line in native_listing(kop, form, payload, arch, features) {
                    let _ = writeln!(text, "    {:>3}: {:<30} {}", line.offset, line.bytes, line.text);
                }
                shown.push(emission.bytes);
            }
            Err(Reject::NoEmit { .. }) => {
                let _ = writeln!(text, "\n  {arch}, features {features}: no emit, the proof is compiled");
            }
            Err(reject) => {
                let _ = writeln!(text, "\n  {arch}, features {features}: rejected: {reject}");
            }
        }
    }
}

/// The operands given, completed to some that the operation admits.
fn choose(kop: &dyn Kop, form: &Form, assignments: &[(&str, &str)]) -> Result<Operands, Failure> {
    let mut fixed = vec![None; form.layout.fields().len()];
    for (name, value) in assignments {
        let index = form.layout.index(name).ok_or_else(|| {
            let known: Vec<&str> = form.layout.fields().iter().map(|field| &*field.name).collect();
            Failure::usage(format!(
                "form {} has no operand `{name}` (it has {})",
                form.name,
                known.join(", ")
            ))
        })?;
        let parsed = form.layout.fields()[index].parse(value);
        fixed[index] = Some(parsed.map_err(|error| Failure::usage(format!("form {}: {error}", form.name)))?);
    }
    let mut choices = Seeded::new(0);
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    for attempt in 0..10_000 {
        let drawn = example(form, attempt, &mut choices);
        let values: Vec<i64> =
            fixed.iter().zip(drawn.values()).map(|(fixed, &drawn)| fixed.unwrap_or(drawn)).collect();
        let operands = Operands::new(&values);
        let site = Site { form, operands, features: Features::NONE };
        let admitted = form.layout.encode(&operands).map_err(Reject::from).and_then(|_| kop.admits(&site));
        let Err(reject) = admitted else { return Ok(operands) };
        *reasons.entry(reject.to_string()).or_default() += 1;
        if fixed.iter().all(Option::is_some) {
            break;
        }
    }
    // What was chosen at random breaks rules too; what was given breaks the same one each time.
    let reason = reasons.into_iter().max_by_key(|&(_, count)| count).map(|(reason, _)| reason);
    let given =
        assignments.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let given = if given.is_empty() { "no operands that are admitted were found".to_owned() } else { given };
    Err(Failure::usage(format!("{} {}: {given}: {}", kop.name(), form.name, reason.unwrap_or_default())))
}

/// Operands that read well first: r0, r1, r2, and middling immediates; then random ones.
fn example(form: &Form, attempt: u32, choices: &mut Seeded) -> Operands {
    use kop_ops::choices::Choices;
    let mut next = 0;
    let values: Vec<i64> = form
        .layout
        .fields()
        .iter()
        .map(|field| {
            let (min, max) = field.range();
            if attempt > 0 {
                min + choices.below(field.count()) as i64
            } else if field.is_register() {
                next += 1;
                next - 1
            } else {
                (min + 8).min(max).max(if min < 0 { 16 } else { min })
            }
        })
        .collect();
    Operands::new(&values)
}
