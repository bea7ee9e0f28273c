// SPDX-License-Identifier: GPL-2.0-or-later
//! Payloads: every one where the space is small, otherwise every pair of operand values, every aliasing pattern and every
//! boundary, and random ones for the rest.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use kop_ops::choices::Choices;
use kop_ops::{Features, Form, Kop, Operands, Site};

/// A payload to run, and on how many states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The operands.
    pub operands: Operands,
    /// How many states; odd where possible, see [`kop_emulators::engine::halves`].
    pub states: usize,
    /// The first turn of its states that place pointers by each other, see [`Placing::Turn`](super::Placing::Turn).
    pub turn: u64,
}

/// A field with more values than this is represented by its boundary values in the systematic part.
const SMALL_FIELD: u64 = 128;

/// The fewest states a payload gets; the number of payloads is bounded to keep to it.
const STATES_PER_PAYLOAD: usize = 8;

/// How many attempts are made to complete a wanted combination of values to valid operands.
const ATTEMPTS: usize = 24;

/// Whether the operation admits these operands.
fn admits(kop: &dyn Kop, form: &Form, operands: &Operands) -> bool {
    form.layout.encode(operands).is_ok()
        && kop.admits(&Site { form, operands: *operands, features: Features::NONE }).is_ok()
}

/// The payloads of a row and how `budget` states are shared among them.
///
/// Where the form has few enough payloads, each is planned. Otherwise the plan holds every value of every field, every
/// pair of values of two fields, and every aliasing pattern of the registers several times; wide immediates take part with
/// their boundary values and random ones.
pub fn plan(kop: &dyn Kop, form: &Form, budget: usize, choices: &mut impl Choices) -> Vec<Planned> {
    let most = (budget / STATES_PER_PAYLOAD).max(1);
    let payloads =
        every_payload(kop, form, most).unwrap_or_else(|| covering_payloads(kop, form, most, choices));
    share(&payloads, budget)
}

fn every_payload(kop: &dyn Kop, form: &Form, most: usize) -> Option<Vec<Operands>> {
    let combinations = form.layout.combinations();
    if combinations > 64 * most as u64 {
        return None;
    }
    let payloads: Vec<Operands> = every_operands(kop, form).take(most + 1).collect();
    (payloads.len() <= most).then_some(payloads)
}

/// How many payloads are asked about at once.
const ASKED_AT_ONCE: u64 = 4096;

/// Every combination of operands that the operation admits.
pub fn every_operands<'a>(kop: &'a dyn Kop, form: &'a Form) -> impl Iterator<Item = Operands> + 'a {
    let combinations = form.layout.combinations();
    (0..combinations).step_by(ASKED_AT_ONCE as usize).flat_map(move |from| {
        let operands =
            (from..combinations.min(from + ASKED_AT_ONCE)).map(|index| form.layout.combination(index));
        let operands: Vec<Operands> = operands.collect();
        let admitted = admitted(kop, form, &operands);
        operands.into_iter().zip(admitted).filter_map(|(operands, admitted)| admitted.then_some(operands))
    })
}

/// Odd shares, the rest to the first payloads; the last one may get an even share, which runs in two odd halves.
fn share(payloads: &[Operands], budget: usize) -> Vec<Planned> {
    let payloads = &payloads[..payloads.len().min(budget)];
    let Some(each) = budget.checked_div(payloads.len()) else { return Vec::new() };
    let odd = (each - 1) | 1;
    let mut left = budget - odd * payloads.len();
    let last = payloads.len() - 1;
    payloads
        .iter()
        .enumerate()
        .map(|(index, &operands)| {
            let extra = if index == last { left } else { left.min(2) & !1 };
            left -= extra;
            Planned { operands, states: odd + extra, turn: 0 }
        })
        .collect()
}

/// The values of a field that the systematic part walks: all of a small field, the boundaries of a wide one.
pub fn field_values(field: &kop_ops::Field) -> Vec<i64> {
    let (min, max) = field.range();
    if field.count() <= SMALL_FIELD {
        return (min..=max).collect();
    }
    let mut values = BTreeSet::from([min, max, 0]);
    for power in (0..31).map(|bit| 1i64 << bit) {
        for around in [-8, -4, -2, -1, 0, 1, 2, 4, 8] {
            values.extend([power + around, -power + around]);
        }
    }
    values.extend([min + 1, max - 1]);
    values.into_iter().filter(|value| (min..=max).contains(value)).collect()
}

/// Whether a value of a wide field lies at or beside a power of two.
pub fn is_boundary(field: &kop_ops::Field, value: i64) -> bool {
    let near = |magnitude: u64| magnitude.is_power_of_two() || magnitude.next_power_of_two() - magnitude <= 1;
    field.count() > SMALL_FIELD && near(value.unsigned_abs())
}

/// Which register operands coincide, as reports print it: `dst=src`, `a=b=dst`, or `distinct`.
pub fn alias_pattern(form: &Form, operands: &Operands) -> String {
    let mut groups: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (field, &value) in form.layout.fields().iter().zip(operands.values()) {
        if field.is_register() {
            groups.entry(value).or_default().push(&field.name);
        }
    }
    let mut shared: Vec<String> =
        groups.into_values().filter(|names| names.len() > 1).map(|names| names.join("=")).collect();
    shared.sort_unstable();
    if shared.is_empty() { "distinct".to_owned() } else { shared.join(" ") }
}

/// Random operands that the operation admits, or `None` when some attempts found none; coinciding registers and boundary
/// immediates are frequent.
pub fn random_operands(kop: &dyn Kop, form: &Form, choices: &mut impl Choices) -> Option<Operands> {
    complete(kop, form, choices, &[])
}

/// Operands with the `fixed` values (field index, value), the other fields random.
fn complete(
    kop: &dyn Kop,
    form: &Form,
    choices: &mut impl Choices,
    fixed: &[(usize, i64)],
) -> Option<Operands> {
    let boundaries = boundaries(form);
    (0..ATTEMPTS)
        .map(|_| draw(form, &boundaries, choices, fixed))
        .find(|operands| admits(kop, form, operands))
}

/// The values of wide fields that are worth more than others; nothing for small fields. Each range is looked at once by a thread, since
/// this is asked for each payload that is drawn.
fn boundaries(form: &Form) -> Vec<Rc<[i64]>> {
    type ByRange = HashMap<(i64, i64), Rc<[i64]>>;
    thread_local! {
        static KNOWN: RefCell<ByRange> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let mut values = |field: &kop_ops::Field| match field.count() {
            ..=SMALL_FIELD => Rc::default(),
            _ => Rc::clone(known.entry(field.range()).or_insert_with(|| field_values(field).into())),
        };
        form.layout.fields().iter().map(&mut values).collect()
    })
}

fn draw(
    form: &Form,
    boundaries: &[Rc<[i64]>],
    choices: &mut impl Choices,
    fixed: &[(usize, i64)],
) -> Operands {
    let fields = form.layout.fields();
    let mut values = vec![0; fields.len()];
    for (index, field) in fields.iter().enumerate() {
        let (min, _) = field.range();
        values[index] = match fixed.iter().find(|(at, _)| *at == index) {
            Some(&(_, value)) => value,
            None if field.is_register() && index > 0 && choices.one_in(4) => {
                let other = choices.below(index as u64) as usize;
                if fields[other].is_register() { values[other].min(field.range().1) } else { min }
            }
            None if field.count() > SMALL_FIELD && choices.one_in(2) => *choices.pick(&boundaries[index]),
            None => min + choices.below(field.count()) as i64,
        };
    }
    Operands::new(&values)
}

/// Fields (by index) with the values that are wanted of them.
type Wanted = Vec<(usize, i64)>;

/// For each of `wanted`, operands that the operation admits, the other fields random; `None` where some attempts found none.
/// All are asked about at once, as that may cost a round trip to another process.
fn complete_each(
    kop: &dyn Kop,
    form: &Form,
    choices: &mut impl Choices,
    wanted: &[Wanted],
) -> Vec<Option<Operands>> {
    let boundaries = boundaries(form);
    let mut found = vec![None; wanted.len()];
    let mut pending: Vec<usize> = (0..wanted.len()).collect();
    for _ in 0..ATTEMPTS {
        if pending.is_empty() {
            break;
        }
        let draws: Vec<Operands> =
            pending.iter().map(|&index| draw(form, &boundaries, choices, &wanted[index])).collect();
        let admitted = admitted(kop, form, &draws);
        for ((&index, draw), _) in pending.iter().zip(draws).zip(&admitted).filter(|(_, admitted)| **admitted)
        {
            found[index] = Some(draw);
        }
        pending.retain(|&index| found[index].is_none());
    }
    found
}

/// Which of these operands the operation admits.
fn admitted(kop: &dyn Kop, form: &Form, operands: &[Operands]) -> Vec<bool> {
    let encodable: Vec<bool> = operands.iter().map(|operands| form.layout.encode(operands).is_ok()).collect();
    let payloads: Vec<u64> = operands
        .iter()
        .zip(&encodable)
        .filter(|(_, encodable)| **encodable)
        .map(|(operands, _)| form.layout.pack(operands))
        .collect();
    let mut answers = kop.admitted(form, &payloads).into_iter();
    encodable.into_iter().map(|encodable| encodable && answers.next().expect("one for each")).collect()
}

/// Up to `count` random operands that the operation admits; as [`random_operands`], all at once.
pub fn many_operands(
    kop: &dyn Kop,
    form: &Form,
    count: usize,
    choices: &mut impl Choices,
) -> Vec<Option<Operands>> {
    complete_each(kop, form, choices, &vec![Wanted::new(); count])
}

/// How many pairs of values are completed at once; what one of them covers, the others of its wave do not know.
const WAVE: usize = 256;

/// Of so many completions of a pair, the one that covers most is taken.
const COMPLETIONS: usize = 4;

/// Payloads that cover every pair of field values, up to `most`.
fn covering_payloads(kop: &dyn Kop, form: &Form, most: usize, choices: &mut impl Choices) -> Vec<Operands> {
    let mut chosen = Chosen::default();
    let patterns = alias_patterns(form);
    let wanted: Vec<Wanted> = patterns
        .iter()
        .flat_map(|pattern| std::iter::repeat_n(pattern, 12))
        .map(|pattern| assign(form, pattern, choices))
        .collect();
    for operands in complete_each(kop, form, choices, &wanted).into_iter().flatten() {
        chosen.add(operands);
    }
    for operands in special_payloads(kop, form, most / 2, choices) {
        chosen.add(operands);
    }
    let mut every = every_pair(form);
    loop {
        let room = most.saturating_sub(chosen.payloads.len()).min(WAVE);
        let wave: Vec<[(usize, i64); 2]> =
            every.by_ref().filter(|pair| !chosen.covers(*pair)).take(room).collect();
        if wave.is_empty() {
            break;
        }
        let wanted: Vec<Wanted> =
            wave.iter().flat_map(|pair| std::iter::repeat_n(pair.to_vec(), COMPLETIONS)).collect();
        let completed = complete_each(kop, form, choices, &wanted);
        for (pair, completed) in wave.iter().zip(completed.chunks(COMPLETIONS)) {
            let best = completed.iter().flatten().max_by_key(|operands| chosen.gain(operands));
            if let Some(&operands) = best.filter(|_| !chosen.covers(*pair)) {
                chosen.add(operands);
            }
        }
    }
    let mut misses = 0;
    while chosen.payloads.len() < most && misses < 4 * most {
        let room = most - chosen.payloads.len();
        for operands in many_operands(kop, form, room.min(4096), choices) {
            match operands {
                Some(operands) if chosen.add(operands) => (),
                _ => misses += 1,
            }
        }
    }
    chosen.payloads
}

/// Every pair of values of two fields.
fn every_pair(form: &Form) -> impl Iterator<Item = [(usize, i64); 2]> {
    let domains: Vec<Vec<i64>> = form.layout.fields().iter().map(field_values).collect();
    let domains = std::rc::Rc::new(domains);
    let fields = domains.len();
    (0..fields).flat_map(move |first| (first + 1..fields).map(move |second| (first, second))).flat_map(
        move |(first, second)| {
            let domains = std::rc::Rc::clone(&domains);
            (0..domains[first].len()).flat_map(move |a| {
                let domains = std::rc::Rc::clone(&domains);
                (0..domains[second].len())
                    .map(move |b| [(first, domains[first][a]), (second, domains[second][b])])
            })
        },
    )
}

/// Every aliasing pattern with the special values of the immediates, two at a time: where emits choose between forms.
fn special_payloads(kop: &dyn Kop, form: &Form, most: usize, choices: &mut impl Choices) -> Vec<Operands> {
    let fields = form.layout.fields();
    let immediates: Vec<usize> = (0..fields.len()).filter(|&index| !fields[index].is_register()).collect();
    let pairs: Vec<(usize, usize)> = match immediates[..] {
        [] => Vec::new(),
        [only] => vec![(only, only)],
        _ => immediates
            .iter()
            .enumerate()
            .flat_map(|(n, &first)| immediates[n + 1..].iter().map(move |&second| (first, second)))
            .collect(),
    };
    let mut wanted = Vec::new();
    for (first, second) in pairs {
        for a in special_values(&fields[first]) {
            let others = if first == second { vec![a] } else { special_values(&fields[second]) };
            for b in others {
                for pattern in alias_patterns(form) {
                    let mut fixed = assign(form, &pattern, choices);
                    fixed.extend([(first, a), (second, b)]);
                    wanted.push(fixed);
                }
            }
        }
    }
    let payloads: Vec<Operands> = complete_each(kop, form, choices, &wanted).into_iter().flatten().collect();
    // Where there are too many, an even sample of them.
    let step = payloads.len().div_ceil(most.max(1)).max(1);
    payloads.into_iter().step_by(step).collect()
}

/// The values of an immediate at which emits change their form: its ends, powers of two, and one below them.
fn special_values(field: &kop_ops::Field) -> Vec<i64> {
    let (min, max) = field.range();
    let powers = (0..31).flat_map(|bit| [1i64 << bit, (1 << bit) - 1, -(1 << bit), -(1 << bit) - 1]);
    let values: BTreeSet<i64> =
        powers.chain([min, max]).filter(|value| (min..=max).contains(value)).collect();
    values.into_iter().collect()
}

/// The payloads chosen so far and the pairs of values that they cover.
#[derive(Default)]
struct Chosen {
    payloads: Vec<Operands>,
    known: HashSet<Operands>,
    pairs: HashSet<(usize, i64, usize, i64)>,
}

impl Chosen {
    fn add(&mut self, operands: Operands) -> bool {
        if !self.known.insert(operands) {
            return false;
        }
        self.pairs.extend(pairs(&operands));
        self.payloads.push(operands);
        true
    }

    fn covers(&self, [(first, a), (second, b)]: [(usize, i64); 2]) -> bool {
        self.pairs.contains(&(first, a, second, b))
    }

    fn gain(&self, operands: &Operands) -> usize {
        pairs(operands).filter(|pair| !self.pairs.contains(pair)).count()
    }
}

fn pairs(operands: &Operands) -> impl Iterator<Item = (usize, i64, usize, i64)> + '_ {
    let values = operands.values();
    values.iter().enumerate().flat_map(move |(first, &a)| {
        values.iter().enumerate().skip(first + 1).map(move |(second, &b)| (first, a, second, b))
    })
}

/// Every way in which register fields can coincide: for each field the number of its group.
fn alias_patterns(form: &Form) -> Vec<Vec<(usize, usize)>> {
    let registers: Vec<usize> =
        (0..form.layout.fields().len()).filter(|&i| form.layout.fields()[i].is_register()).collect();
    let mut patterns: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
    for &field in &registers {
        patterns = patterns
            .into_iter()
            .flat_map(|pattern| {
                let groups = pattern.iter().map(|&(_, group)| group + 1).max().unwrap_or(0);
                (0..=groups).map(move |group| {
                    let mut longer = pattern.clone();
                    longer.push((field, group));
                    longer
                })
            })
            .collect();
    }
    patterns
}

/// Random distinct registers for the groups of a pattern.
fn assign(form: &Form, pattern: &[(usize, usize)], choices: &mut impl Choices) -> Vec<(usize, i64)> {
    let mut registers: Vec<i64> = (0..=10).collect();
    for i in (1..registers.len()).rev() {
        registers.swap(i, choices.below(i as u64 + 1) as usize);
    }
    pattern
        .iter()
        .map(|&(field, group)| (field, registers[group].min(form.layout.fields()[field].range().1)))
        .collect()
}

/// A payload that is probably not valid: a `valid` one with something wrong, or any 52 bits.
pub fn invalid_payload<C: Choices>(
    form: &Form,
    choices: &mut C,
    valid: impl FnOnce(&mut C) -> Option<Operands>,
) -> u64 {
    let any = choices.bits() >> (64 - kop_ops::payload::PAYLOAD_BITS);
    let Some(operands) = valid(choices) else { return any };
    let valid = form.layout.pack(&operands);
    let field = choices.pick(form.layout.fields());
    let mask = ((1u64 << field.width) - 1) << field.low;
    match choices.below(4) {
        0 => valid ^ 1 << choices.below(u64::from(kop_ops::payload::PAYLOAD_BITS)),
        1 => valid & !mask | any & mask,
        2 => any & form.layout.used_bits(),
        _ => any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::Catalog;
    use kop_ops::choices::Seeded;

    #[test]
    fn every_pair_of_registers_is_planned_for_every_form() {
        let catalog = Catalog::einsn();
        for (kop, form) in catalog.forms() {
            let planned = plan(kop, form, 20_000, &mut Seeded::new(1));
            let fields = form.layout.fields();
            let registers: Vec<usize> = (0..fields.len()).filter(|&i| fields[i].is_register()).collect();
            for (n, &first) in registers.iter().enumerate() {
                for &second in &registers[n + 1..] {
                    let found: HashSet<(i64, i64)> = planned
                        .iter()
                        .map(|planned| (planned.operands.values()[first], planned.operands.values()[second]))
                        .collect();
                    let possible: HashSet<(i64, i64)> = (0..2_000_000u64)
                        .map(|_| ())
                        .zip(std::iter::repeat_with({
                            let mut choices = Seeded::new(2);
                            move || random_operands(kop, form, &mut choices)
                        }))
                        .take(30_000)
                        .filter_map(|((), operands)| operands)
                        .map(|operands| (operands.values()[first], operands.values()[second]))
                        .collect();
                    let missing: Vec<_> = possible.difference(&found).collect();
                    assert!(missing.is_empty(), "{} {}: {missing:?}", kop.name(), form.name);
                }
            }
        }
    }

    #[test]
    fn budgets_are_met_exactly() {
        let catalog = Catalog::einsn();
        for (kop, form) in catalog.forms() {
            for budget in [1, 7, 1000, 20_000] {
                let planned = plan(kop, form, budget, &mut Seeded::new(1));
                let total: usize = planned.iter().map(|planned| planned.states).sum();
                assert_eq!(total, budget, "{} {}", kop.name(), form.name);
            }
        }
    }

    #[test]
    fn wide_fields_are_represented_by_their_boundaries() {
        let catalog = Catalog::einsn();
        let load = catalog.get("swapped_load").expect("in the catalog");
        let values = field_values(&load.forms()[0].layout.fields()[2]);
        for boundary in [-32768, -257, -256, -129, -128, -1, 0, 127, 128, 255, 256, 8190, 8192, 32760, 32767]
        {
            assert!(values.contains(&boundary), "{boundary}");
        }
    }

    #[test]
    fn patterns_of_four_registers_are_bells_fifteen() {
        let catalog = Catalog::einsn();
        let select = catalog.get("select").expect("in the catalog");
        assert_eq!(alias_patterns(&select.forms()[0]).len(), 15);
    }
}
