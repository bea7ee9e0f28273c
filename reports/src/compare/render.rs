// SPDX-License-Identifier: GPL-2.0-or-later
//! What changed, as text and as Markdown.

use std::fmt::Write as _;

use super::{Change, Comparison, Effect, Topic};
use crate::markdown::inline;
use crate::text::{Block, Paint, Style};
use crate::words::{number, plural};

impl Topic {
    const ALL: [Topic; 5] =
        [Topic::Divergence, Topic::Verdict, Topic::Proof, Topic::Coverage, Topic::Mutation];

    const fn heading(self) -> &'static str {
        match self {
            Topic::Divergence => "divergences",
            Topic::Verdict => "verdicts",
            Topic::Proof => "proofs",
            Topic::Coverage => "coverage",
            Topic::Mutation => "mutants",
        }
    }
}

impl Effect {
    const fn word(self) -> &'static str {
        match self {
            Effect::Worse => "worse",
            Effect::Better => "better",
            Effect::Neither => "changed",
        }
    }

    const fn paint(self) -> Paint {
        match self {
            Effect::Worse => Paint::Red,
            Effect::Better => Paint::Green,
            Effect::Neither => Paint::Plain,
        }
    }

    const fn sign(self) -> &'static str {
        match self {
            Effect::Worse => "\u{274c}",
            Effect::Better => "\u{2705}",
            Effect::Neither => "\u{2796}",
        }
    }
}

impl Comparison {
    fn of(&self, topic: Topic) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.topic == topic)
    }

    fn count(&self, effect: Effect) -> u64 {
        self.changes.iter().filter(|change| change.effect == effect).count() as u64
    }

    /// How many changes there are of each effect, in a few words.
    fn headline(&self) -> String {
        if self.changes.is_empty() {
            return "nothing changed".to_owned();
        }
        let (worse, better) = (number(self.count(Effect::Worse)), number(self.count(Effect::Better)));
        format!(
            "{}: {worse} for the worse, {better} for the better",
            plural(self.changes.len() as u64, "change")
        )
    }

    /// The changes as plain text, what it is about before what changed.
    pub fn text(&self, style: Style) -> String {
        let mut block = Block::new(style);
        let paint = if self.is_worse() { Paint::Red } else { Paint::Plain };
        block.heading(paint, &self.headline());
        for topic in Topic::ALL {
            if self.of(topic).next().is_some() {
                block.label(topic.heading());
            }
            for change in self.of(topic) {
                let text = format!("{}: {}", change.about, change.text);
                block.field(change.effect.word(), change.effect.paint(), &text);
            }
        }
        block.finish()
    }

    /// The changes as Markdown, for the summary of a job.
    pub fn markdown(&self) -> String {
        let sign = if self.is_worse() { Effect::Worse } else { Effect::Better }.sign();
        let mut text = format!("## {sign} kop: {}\n", self.headline());
        for topic in Topic::ALL {
            if self.of(topic).next().is_some() {
                let _ = writeln!(text, "\n### {}\n", topic.heading());
            }
            for change in self.of(topic) {
                let (sign, word) = (change.effect.sign(), change.effect.word());
                let _ = writeln!(
                    text,
                    "- {sign} {word}: **{}**: {}",
                    inline(&change.about),
                    inline(&change.text)
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{divergent, lines, record, register_divergence, row};

    fn comparison() -> Comparison {
        let old = record(vec![row("rotate", "imm64", "x86_64"), row("a<b", "f", "none")]);
        Comparison::new(&old, &record(vec![divergent(vec![register_divergence()])]))
    }

    #[test]
    fn text_says_what_is_worse() {
        let expected = [
            "3 changes: 3 for the worse, 0 for the better",
            "  divergences",
            "  worse      rotate imm64 x86_64: new: register on unicorn-x86_64: r3 differs after the site",
            "  verdicts",
            "  worse      rotate imm64 x86_64: was equivalent, is divergent",
            "  worse      a<b f none: the row is gone, it was equivalent",
        ];
        assert_eq!(comparison().text(Style::default()), lines(&expected));
        assert_eq!(Comparison::default().text(Style::default()), "nothing changed\n");
    }

    #[test]
    fn markdown_has_a_list_for_each_topic() {
        let expected = "\
## \u{274c} kop: 3 changes: 3 for the worse, 0 for the better

### divergences

- \u{274c} worse: **rotate imm64 x86&#95;64**: new: register on unicorn-x86&#95;64: r3 differs after the site

### verdicts

- \u{274c} worse: **rotate imm64 x86&#95;64**: was equivalent, is divergent
- \u{274c} worse: **a&lt;b f none**: the row is gone, it was equivalent
";
        assert_eq!(comparison().markdown(), expected);
        assert_eq!(Comparison::default().markdown(), "## \u{2705} kop: nothing changed\n");
    }
}
