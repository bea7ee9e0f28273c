// SPDX-License-Identifier: GPL-2.0-or-later
//! No binary of this repository may hold GPL-2.0-only code together with code whose licence GPL-2.0 does not allow.
//!
//! Unicorn and Keystone are GPL-2.0-only. Code that is to be had under Apache-2.0 alone may therefore not be linked to
//! them, tests, benches, examples and fuzz targets included. The SPDX expressions are evaluated here, because the crate
//! that does so is itself under Apache-2.0 alone. Ghidra's libsla is, too: `kop-sleigh`, which links it, keeps apart from the
//! crates that link Unicorn and Keystone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};

/// What may be linked to GPL-2.0-only code: the licences that <https://www.gnu.org/licenses/license-list.html> calls
/// compatible with version 2. LLVM's exception to Apache-2.0 was written to that end.
const COMPATIBLE_WITH_GPL_2: &[&str] = &[
    "0BSD",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-2.0",
    "GPL-2.0+",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "ISC",
    "LGPL-2.1",
    "LGPL-2.1+",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// An SPDX licence expression; an exception stays with its licence (`Apache-2.0 WITH LLVM-exception`).
#[derive(Debug, PartialEq)]
enum Expression {
    Licence(String),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// Parses `text`; a slash is the old way to write OR. None if it is not an expression.
    fn parse(text: &str) -> Option<Self> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut tokens = spaced.split_whitespace().peekable();
        let expression = Self::alternatives(&mut tokens)?;
        tokens.next().is_none().then_some(expression)
    }

    fn alternatives<'a>(tokens: &mut Tokens<'a, impl Iterator<Item = &'a str>>) -> Option<Self> {
        let mut left = Self::conjunction(tokens)?;
        while tokens.next_if_eq(&"OR").is_some() {
            left = Self::Or(Box::new(left), Box::new(Self::conjunction(tokens)?));
        }
        Some(left)
    }

    fn conjunction<'a>(tokens: &mut Tokens<'a, impl Iterator<Item = &'a str>>) -> Option<Self> {
        let mut left = Self::term(tokens)?;
        while tokens.next_if_eq(&"AND").is_some() {
            left = Self::And(Box::new(left), Box::new(Self::term(tokens)?));
        }
        Some(left)
    }

    fn term<'a>(tokens: &mut Tokens<'a, impl Iterator<Item = &'a str>>) -> Option<Self> {
        match tokens.next()? {
            "(" => {
                let inner = Self::alternatives(tokens)?;
                tokens.next_if_eq(&")").map(|_| inner)
            }
            ")" | "AND" | "OR" | "WITH" => None,
            licence if tokens.next_if_eq(&"WITH").is_some() => {
                let exception = tokens.next()?;
                Some(Self::Licence(format!("{licence} WITH {exception}")))
            }
            licence => Some(Self::Licence(licence.to_owned())),
        }
    }

    /// Whether somebody who accepts only the licences that `accept` names may use the code.
    fn is_satisfied_by(&self, accept: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Licence(licence) => accept(licence),
            Self::And(left, right) => left.is_satisfied_by(accept) && right.is_satisfied_by(accept),
            Self::Or(left, right) => left.is_satisfied_by(accept) || right.is_satisfied_by(accept),
        }
    }
}

type Tokens<'a, I> = std::iter::Peekable<I>;

/// The part that a crate's licence plays in a binary.
#[derive(Debug, PartialEq)]
enum Role {
    /// Any use of the code is a use under version 2 of the GPL and no other.
    Gpl2Only,
    /// Goes with GPL-2.0-only code.
    Compatible,
    /// May not be in one binary with GPL-2.0-only code; so are unknown licences.
    Incompatible,
}

fn is_gpl_2_only(licence: &str) -> bool {
    let without_exception = licence.split(" WITH ").next().unwrap_or(licence);
    matches!(without_exception, "GPL-2.0" | "GPL-2.0-only")
}

fn role_of(licence: &str) -> Role {
    let Some(expression) = Expression::parse(licence) else {
        return Role::Incompatible;
    };
    if !expression
        .is_satisfied_by(&|licence| COMPATIBLE_WITH_GPL_2.contains(&licence) || is_gpl_2_only(licence))
    {
        Role::Incompatible
    } else if !expression.is_satisfied_by(&|licence| !is_gpl_2_only(licence)) {
        Role::Gpl2Only
    } else {
        Role::Compatible
    }
}

/// A crate and what its manifest says of its licence.
type Licensed = (String, String);

/// The crates of one binary that may not be together.
#[derive(Debug, PartialEq)]
struct Conflict {
    binary: String,
    gpl_2_only: Vec<Licensed>,
    incompatible: Vec<Licensed>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |crates: &[Licensed]| {
            let named: Vec<_> = crates.iter().map(|(name, licence)| format!("{name} ({licence})")).collect();
            named.join(", ")
        };
        write!(f, "{}: {} with {}", self.binary, list(&self.gpl_2_only), list(&self.incompatible))
    }
}

/// The conflict within one binary, given everything that is linked into it.
fn conflict(binary: &str, linked: &[Licensed]) -> Option<Conflict> {
    let of_role =
        |role| linked.iter().filter(|(_, licence)| role_of(licence) == role).cloned().collect::<Vec<_>>();
    let (gpl_2_only, incompatible) = (of_role(Role::Gpl2Only), of_role(Role::Incompatible));
    let clash = !gpl_2_only.is_empty() && !incompatible.is_empty();
    clash.then(|| Conflict { binary: binary.to_owned(), gpl_2_only, incompatible })
}

/// A package as the check sees it: its dependencies are keys of the same graph.
#[derive(Default)]
struct Package {
    name: String,
    licence: String,
    /// Runs inside the compiler and is linked into nothing.
    is_proc_macro: bool,
    normal: Vec<String>,
    development: Vec<String>,
    /// Names of its programs; empty for a library.
    programs: Vec<String>,
    is_ours: bool,
}

type Graph = BTreeMap<String, Package>;

/// Everything that is linked into a binary of `root`: its normal dependencies and theirs; build scripts and procedural
/// macros run elsewhere. Tests, benches and examples have the development dependencies of `root` in addition.
fn linked(graph: &Graph, root: &str, with_development: bool) -> Vec<Licensed> {
    let mut seen = BTreeSet::new();
    let mut open = vec![root];
    if with_development {
        open.extend(graph[root].development.iter().map(String::as_str));
    }
    while let Some(id) = open.pop() {
        if !graph[id].is_proc_macro && seen.insert(id) {
            open.extend(graph[id].normal.iter().map(String::as_str));
        }
    }
    seen.into_iter().map(|id| (graph[id].name.clone(), graph[id].licence.clone())).collect()
}

/// Every binary that the workspace's own packages make, with what is linked into it.
fn binaries(graph: &Graph) -> Vec<(String, Vec<Licensed>)> {
    let mut binaries = Vec::new();
    for (id, package) in graph.iter().filter(|(_, package)| package.is_ours) {
        for program in &package.programs {
            binaries.push((format!("{}, program {program}", package.name), linked(graph, id, false)));
        }
        binaries.push((format!("{}, tests and benches", package.name), linked(graph, id, true)));
    }
    binaries
}

/// The crate that links code under Apache-2.0 alone, and those that link code under GPL-2.0 alone, with some features at least.
const APACHE_2_SIDE: &str = "kop-sleigh";
const GPL_2_SIDE: [&str; 2] = ["kop-emulators", "kop-modules"];

/// Packages of ours that link what they must keep apart from, whatever the features are now: each with what it links.
fn apart(graph: &Graph) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (id, package) in graph.iter().filter(|(_, package)| package.is_ours) {
        let linked = linked(graph, id, true);
        let has = |name: &str| linked.iter().any(|(linked, _)| linked == name);
        for other in GPL_2_SIDE.into_iter().filter(|other| has(APACHE_2_SIDE) && has(other)) {
            found.push((package.name.clone(), format!("{APACHE_2_SIDE} and {other}")));
        }
    }
    found
}

fn conflicts(graph: &Graph) -> Vec<Conflict> {
    binaries(graph).iter().filter_map(|(binary, linked)| conflict(binary, linked)).collect()
}

fn graph_of(metadata: &Metadata) -> Graph {
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves unless told not to");
    let mut graph: Graph = metadata
        .packages
        .iter()
        .map(|package| {
            let has_kind = |kind: TargetKind| package.targets.iter().filter(move |t| t.kind.contains(&kind));
            let entry = Package {
                name: package.name.to_string(),
                licence: package.license.clone().unwrap_or_else(|| "no licence stated".to_owned()),
                is_proc_macro: has_kind(TargetKind::ProcMacro).next().is_some(),
                programs: has_kind(TargetKind::Bin).map(|target| target.name.clone()).collect(),
                is_ours: metadata.workspace_members.contains(&package.id),
                ..Package::default()
            };
            (package.id.to_string(), entry)
        })
        .collect();
    for node in &resolve.nodes {
        let package = graph.get_mut(&node.id.to_string()).expect("every node is a package");
        for dependency in &node.deps {
            let has_kind = |kind| dependency.dep_kinds.iter().any(|info| info.kind == kind);
            if has_kind(DependencyKind::Normal) {
                package.normal.push(dependency.pkg.to_string());
            }
            if has_kind(DependencyKind::Development) {
                package.development.push(dependency.pkg.to_string());
            }
        }
    }
    graph
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in a folder of the workspace")
        .to_owned()
}

/// The manifests that start a workspace: the root's, and those of crates that stand outside of it on purpose.
fn workspaces(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let manifest = folder.join("Cargo.toml");
    if std::fs::read_to_string(&manifest)
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("[workspace]")))
    {
        found.push(manifest);
    }
    if depth == 0 {
        return found;
    }
    for entry in std::fs::read_dir(folder).expect("a folder of the repository can be read") {
        let path = entry.expect("a folder of the repository can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(workspaces(&path, depth - 1));
        }
    }
    found
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs wherever cargo does");
    let text = String::from_utf8(output.stdout).expect("rustc prints UTF-8");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names the host").to_owned()
}

#[test]
fn no_binary_mixes_gpl_2_only_and_apache_2_only() {
    let options = ["--locked".to_owned(), "--filter-platform".to_owned(), host()];
    let (mut gpl_2_only_binaries, mut incompatible_binaries) = (0, 0);
    for manifest in workspaces(&repository(), 2) {
        let mut command = MetadataCommand::new();
        let metadata = command.manifest_path(&manifest).other_options(options.to_vec()).exec();
        let graph = graph_of(&metadata.unwrap_or_else(|error| panic!("{}: {error}", manifest.display())));

        let found: Vec<_> = conflicts(&graph).iter().map(Conflict::to_string).collect();
        assert!(
            found.is_empty(),
            "{}: licences that exclude each other:\n{}",
            manifest.display(),
            found.join("\n")
        );
        let found: Vec<_> =
            apart(&graph).into_iter().map(|(one, other)| format!("{one} links {other}")).collect();
        assert!(found.is_empty(), "{}: {}", manifest.display(), found.join(", "));

        let count = |role: Role| {
            let has = |crates: &[Licensed]| crates.iter().any(|(_, licence)| role_of(licence) == role);
            binaries(&graph).iter().filter(|(_, linked)| has(linked)).count()
        };
        gpl_2_only_binaries += count(Role::Gpl2Only);
        incompatible_binaries += count(Role::Incompatible);
    }
    assert!(
        gpl_2_only_binaries > 0 && incompatible_binaries > 0,
        "Unicorn and libsla are linked somewhere: a walk that does not find them proves nothing"
    );
}

#[test]
fn roles_follow_the_expression() {
    let table = [
        ("GPL-2.0", Role::Gpl2Only),
        ("GPL-2.0-only", Role::Gpl2Only),
        ("GPL-2.0-only WITH Classpath-exception-2.0", Role::Gpl2Only),
        ("MIT AND GPL-2.0-only", Role::Gpl2Only),
        ("GPL-2.0-only OR MIT", Role::Compatible),
        ("GPL-2.0-or-later", Role::Compatible),
        ("MIT", Role::Compatible),
        ("MIT OR Apache-2.0", Role::Compatible),
        ("Apache-2.0/MIT", Role::Compatible),
        ("(MIT OR Apache-2.0) AND NCSA", Role::Compatible),
        ("Apache-2.0 WITH LLVM-exception", Role::Compatible),
        ("Apache-2.0", Role::Incompatible),
        ("Apache-2.0 AND MIT", Role::Incompatible),
        ("MIT OR Apache-2.0 AND ISC", Role::Compatible),
        ("(MIT OR ISC) AND Apache-2.0", Role::Incompatible),
        ("GPL-3.0-or-later", Role::Incompatible),
        ("no licence stated", Role::Incompatible),
        ("MIT OR", Role::Incompatible),
        ("(MIT", Role::Incompatible),
        ("", Role::Incompatible),
    ];
    for (licence, role) in table {
        assert_eq!(role_of(licence), role, "{licence}");
    }
}

/// `tool` is a program over `engine` (which links `unicorn`) and, by the given kind of dependency, `middle` over `apache`.
fn synthetic(edit: impl FnOnce(&mut Graph)) -> Graph {
    let package = |name: &str, licence: &str, normal: &[&str]| {
        let normal = normal.iter().map(|&id| id.to_owned()).collect();
        (
            name.to_owned(),
            Package { name: name.to_owned(), licence: licence.to_owned(), normal, ..Package::default() },
        )
    };
    let mut graph = Graph::from([
        package("tool", "GPL-2.0-or-later", &["engine"]),
        package("engine", "GPL-2.0-or-later", &["unicorn"]),
        package("unicorn", "GPL-2.0", &[]),
        package("middle", "MIT", &["apache"]),
        package("apache", "Apache-2.0", &[]),
    ]);
    let tool = graph.get_mut("tool").expect("just inserted");
    tool.is_ours = true;
    tool.programs.push("tool".to_owned());
    edit(&mut graph);
    graph
}

fn names(conflicts: &[Conflict]) -> Vec<&str> {
    conflicts.iter().map(|conflict| conflict.binary.as_str()).collect()
}

#[test]
fn linking_both_is_a_conflict_of_every_binary() {
    let graph = synthetic(|graph| graph.get_mut("engine").unwrap().normal.push("middle".to_owned()));
    let found = conflicts(&graph);
    assert_eq!(names(&found), ["tool, program tool", "tool, tests and benches"]);
    assert_eq!(found[0].to_string(), "tool, program tool: unicorn (GPL-2.0) with apache (Apache-2.0)");
}

#[test]
fn a_development_dependency_is_a_conflict_of_the_tests_alone() {
    let graph = synthetic(|graph| graph.get_mut("tool").unwrap().development.push("middle".to_owned()));
    assert_eq!(names(&conflicts(&graph)), ["tool, tests and benches"]);
}

#[test]
fn apart_from_each_other_there_is_no_conflict() {
    let graph = synthetic(|graph| {
        let normal = vec!["middle".to_owned()];
        let other = Package {
            name: "other".to_owned(),
            licence: "MIT".to_owned(),
            normal,
            is_ours: true,
            ..Package::default()
        };
        graph.insert("other".to_owned(), other);
    });
    assert_eq!(conflicts(&graph), []);
}

/// `kop-sleigh` and `kop-emulators` as crates of ours, one of which has the other among its dependencies of some kind.
fn two_sides(edit: impl FnOnce(&mut Package, &mut Package)) -> Graph {
    let package = |name: &str| Package {
        name: name.to_owned(),
        licence: "GPL-2.0-or-later".to_owned(),
        is_ours: true,
        ..Package::default()
    };
    let (mut sleigh, mut emulators) = (package("kop-sleigh"), package("kop-emulators"));
    edit(&mut sleigh, &mut emulators);
    Graph::from([("kop-sleigh".to_owned(), sleigh), ("kop-emulators".to_owned(), emulators)])
}

#[test]
fn the_two_sides_do_not_depend_on_each_other() {
    assert_eq!(apart(&two_sides(|_, _| {})), []);
    let found = |graph| apart(&graph).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let tests = two_sides(|sleigh, _| sleigh.development.push("kop-emulators".to_owned()));
    assert_eq!(found(tests), ["kop-sleigh"]);
    let library = two_sides(|_, emulators| emulators.normal.push("kop-sleigh".to_owned()));
    assert_eq!(found(library), ["kop-emulators"]);
}

#[test]
fn a_procedural_macro_is_not_linked() {
    let graph = synthetic(|graph| {
        graph.get_mut("tool").unwrap().normal.push("middle".to_owned());
        graph.get_mut("middle").unwrap().is_proc_macro = true;
    });
    assert_eq!(conflicts(&graph), []);
}
