// SPDX-License-Identifier: GPL-2.0-or-later
//! What programs of a sample are rewritten to: once for all backends, since each claim is decided once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use kop_jit::rewrite::{Branches, Options, Profile, Rewritten, rewrite};
use kop_ops::{Catalog, Object};

use super::backend::jit::CATALOG;
use crate::rewrite::Proved;

/// A file of programs that was rewritten.
pub struct Made {
    /// What it became.
    pub rewritten: Rewritten,
    /// How long that took, proofs included, in nanoseconds.
    pub ns: f64,
}

/// The operation that was not used, and whether there was a profile.
type Key = (Option<String>, bool);

/// What there is of a sample already.
#[derive(Default)]
pub struct Rewrites {
    proved: RefCell<Proved>,
    made: RefCell<HashMap<Key, Rc<Made>>>,
}

impl Rewrites {
    /// `object` rewritten, without the operation called so; with selects where there is a profile that says where they pay.
    pub fn of(&self, object: &Object, without: Option<&str>, profile: Option<&Profile>) -> Rc<Made> {
        let key = (without.map(str::to_owned), profile.is_some());
        if let Some(known) = self.made.borrow().get(&key) {
            return Rc::clone(known);
        }
        let kops = CATALOG.kops().iter().filter(|kop| without != Some(kop.name()));
        let catalog = kops.fold(Catalog::empty(), |catalog, kop| catalog.and(*kop));
        let start = Instant::now();
        let branches = profile.map_or(Branches::Left, Branches::Profile);
        // Code of the JIT runs where it is made.
        let arch = std::env::consts::ARCH.parse().ok();
        let options = Options { arch, branches, ..Options::new(&catalog) };
        let rewritten = rewrite(object, &options, &mut *self.proved.borrow_mut());
        let made = Rc::new(Made { rewritten, ns: start.elapsed().as_nanos() as f64 });
        self.made.borrow_mut().insert(key, Rc::clone(&made));
        made
    }
}
