// SPDX-License-Identifier: GPL-2.0-or-later
//! The few signs of the page, drawn, so that they look the same whatever fonts there are.

use maud::{Markup, html};

use crate::record::ProofVerdict;
use crate::standing::Standing;

/// The signs, to be placed once before [`icon`] refers to them.
pub(super) fn symbols() -> Markup {
    html! {
        svg width="0" height="0" style="position:absolute" aria-hidden="true" {
            symbol id="i-ok" viewBox="0 0 16 16" {
                path d="M2.5 8.6 6.3 12.3 13.5 4" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" {}
            }
            symbol id="i-differs" viewBox="0 0 16 16" {
                path d="M3.5 3.5 12.5 12.5 M12.5 3.5 3.5 12.5" fill="none" stroke="currentColor" stroke-width="2.4"
                    stroke-linecap="round" {}
            }
            symbol id="i-known" viewBox="0 0 16 16" {
                path d="M4 14.5V2.5 M4 3h8.5l-2.4 3.2L12.5 9.4H4" fill="none" stroke="currentColor" stroke-width="2"
                    stroke-linejoin="round" stroke-linecap="round" {}
            }
            symbol id="i-none" viewBox="0 0 16 16" {
                path d="M3.5 8H12.5" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" {}
            }
            symbol id="i-ran" viewBox="0 0 16 16" { circle cx="8" cy="8" r="3.6" fill="currentColor" {} }
            symbol id="i-half" viewBox="0 0 16 16" {
                circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="2" {}
                path d="M8 3A5 5 0 0 0 8 13Z" fill="currentColor" {}
            }
        }
    }
}

/// A sign for the eye alone; the word stands beside it.
pub(super) fn icon(name: &str) -> Markup {
    html! { svg aria-hidden="true" focusable="false" { use href={ "#i-" (name) } {} } }
}

/// The class that gives the colour, and the sign.
pub(super) const fn of_standing(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Equivalent => ("good", "ok"),
        Standing::Divergent => ("bad", "differs"),
        Standing::Known => ("warn", "known"),
        Standing::Untested => ("mute", "none"),
    }
}

/// The class that gives the colour, and the sign.
pub(super) const fn of_proof(verdict: ProofVerdict) -> (&'static str, &'static str) {
    match verdict {
        ProofVerdict::Proved => ("good", "ok"),
        ProofVerdict::Partial => ("warn", "half"),
        ProofVerdict::Refuted => ("bad", "differs"),
        ProofVerdict::Unsupported | ProofVerdict::Timeout => ("mute", "none"),
    }
}

/// A word with its sign and colour.
pub(super) fn chip((class, sign): (&str, &str), word: &str) -> Markup {
    html! { span.chip.(class) { (icon(sign)) (word) } }
}
