// SPDX-License-Identifier: GPL-2.0-or-later
//! Which engines take part: those asked for by name, which must be here, or all that are.

use kop_emulators::engines::{ENGINES, EngineKind, find};
use kop_reports::Engine;

/// An engine that was asked for and cannot take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// There is none of that name.
    #[error("unknown engine `{name}` (known: {known})")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// It is absent.
    #[error("engine {name} is absent: {reason}")]
    Absent {
        /// The name.
        name: String,
        /// Why, and how to get it.
        reason: String,
    },
}

/// The engines that are here and take part unasked, and all of those as reports list them.
pub fn available() -> (Vec<&'static EngineKind>, Vec<Engine>) {
    let checked: Vec<(&EngineKind, Result<(), String>)> = ENGINES
        .iter()
        .filter(|engine| !engine.on_request)
        .map(|engine| (engine, engine.available()))
        .collect();
    let here = checked.iter().filter(|(_, available)| available.is_ok()).map(|(engine, _)| *engine).collect();
    let listed = checked.into_iter().map(|(engine, available)| listed(engine, available.err())).collect();
    (here, listed)
}

fn listed(engine: &EngineKind, reason: Option<String>) -> Engine {
    Engine { name: engine.name.to_owned(), available: reason.is_none(), reason }
}

/// The engines of `names`, in the order of the list.
///
/// # Errors
/// [`SelectionError`] for the first that is unknown or absent.
pub fn by_names<'n>(
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<&'static EngineKind>, SelectionError> {
    let mut chosen = Vec::new();
    for name in names {
        let engine = find(name).ok_or_else(|| SelectionError::Unknown {
            name: name.to_owned(),
            known: ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", "),
        })?;
        engine.available().map_err(|reason| SelectionError::Absent { name: name.to_owned(), reason })?;
        chosen.push(engine);
    }
    chosen.sort_by_key(|engine| ENGINES.iter().position(|other| other.name == engine.name));
    chosen.dedup_by_key(|engine| engine.name);
    Ok(chosen)
}

/// The engines of a run for its record; absent ones with the reason, others that were not asked for with that.
pub fn engines_of(chosen: &[&'static EngineKind]) -> Vec<Engine> {
    let is_chosen = |engine: &EngineKind| chosen.iter().any(|own| own.name == engine.name);
    ENGINES
        .iter()
        .filter(|engine| !engine.on_request || is_chosen(engine))
        .map(|engine| {
            if is_chosen(engine) {
                listed(engine, None)
            } else {
                let reason = engine.available().err().unwrap_or_else(|| "not asked for".to_owned());
                listed(engine, Some(reason))
            }
        })
        .collect()
}
