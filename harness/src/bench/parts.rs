// SPDX-License-Identifier: GPL-2.0-or-later
//! What each operation of a program brings: the program is measured without it, too, in turn with all others.

use kop_reports::{Attribution, Cell, Spread};

use super::Sample;
use super::backend::{BACKENDS, Backend, Part};
use super::measure::Times;

/// The operations that backends put into one program, each with the backend's index.
pub struct Parts(pub Vec<(usize, Part)>);

impl Parts {
    /// Asks every backend that is here.
    pub fn of(backends: &[Result<Box<dyn Backend>, String>], sample: &Sample) -> Self {
        let here = backends.iter().enumerate().filter_map(|(index, made)| Some((index, made.as_ref().ok()?)));
        Self(
            here.flat_map(|(index, made)| made.parts(sample).into_iter().map(move |part| (index, part)))
                .collect(),
        )
    }

    /// The names of all ways to run a program: backends, then backends less an operation.
    pub fn names(&self) -> Vec<String> {
        let without =
            |(index, part): &(usize, Part)| format!("{} without {}", BACKENDS[*index].name, part.operation);
        let names = BACKENDS.iter().map(|kind| kind.name.to_owned());
        names.chain(self.0.iter().map(without)).collect()
    }

    /// Writes into the cells what operations bring. `times` are those of backends, then of parts.
    pub fn attribute(&self, cells: &mut [Cell], fixed: &[Times], rotating: &[Times]) {
        for (number, (index, part)) in self.0.iter().enumerate() {
            let gain = |times: &[Times]| {
                let (all, without) = (times.get(*index)?, times.get(BACKENDS.len() + number)?);
                gain(all.as_ref().ok()?, without.as_ref().ok()?)
            };
            cells[*index].operations.push(Attribution {
                operation: part.operation.clone(),
                sites: part.sites as u64,
                replaced: part.replaced as u64,
                fixed: gain(fixed),
                rotating: gain(rotating),
            });
        }
    }
}

/// The time without a part by that with all, round by round; nothing where a program is over before an empty call is.
fn gain(all: &[f64], without: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = all.iter().zip(without).map(|(all, without)| without / all).collect();
    let sound = ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
    (sound && !ratios.is_empty()).then(|| Spread::of(&ratios))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_without_an_operation_gains_by_it() {
        let spread = gain(&[10.0, 20.0, 10.0], &[15.0, 30.0, 15.0]).expect("times");
        assert!((spread.median - 1.5).abs() < 1e-12);
        assert_eq!(gain(&[10.0], &[-1.0]), None, "less than an empty call");
        assert_eq!(gain(&[], &[]), None);
    }
}
