// SPDX-License-Identifier: GPL-2.0-or-later
//! Progress on a terminal; silence elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kop_harness::check::Progress;

/// A bar on standard error when that is a terminal.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar without a length yet.
    pub fn new() -> Self {
        // indicatif draws nothing when standard error is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{elapsed:>4} {bar:40.cyan/blue} {pos}/{len} {msg} (eta {eta})")
                .expect("the template is valid");
        bar.set_style(style);
        Self { bar }
    }

    /// Removes it.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn round(&self, units: usize) {
        self.bar.inc_length(units as u64);
    }

    fn unit(&self, label: &str) {
        self.bar.set_message(label.to_owned());
        self.bar.inc(1);
    }
}
