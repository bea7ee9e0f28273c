// SPDX-License-Identifier: GPL-2.0-or-later
//! The HTML of a report as Debian's Chromium shows it: on a phone and on a desktop, light and dark, without a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use kop_reports::{Bench, Record, html};
use serde_json::Value;

const PROBE: &str = include_str!("browser/probe.js");

/// Real records of rows that hold and of two operations with planted mistakes; rates and mutants are made up.
const SAMPLE: &str = include_str!("records/sample.json");

const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// What the browser asks for itself, whatever page it shows.
const OWN_HOSTS: [&str; 2] = [".google.com", ".googleapis.com"];

/// The record of a benchmark of some programs.
const BENCH: &str = include_str!("records/bench.json");

fn bench_page() -> String {
    Bench::from_json(BENCH).expect("a record").html()
}

fn page() -> String {
    html(&Record::from_json(SAMPLE).expect("a record"))
}

/// Runs the browser in a directory of its own and gives what it prints.
fn chromium(dir: &Path, args: &[&str]) -> String {
    let own = format!("--user-data-dir={}", dir.join("profile").display());
    let fixed = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--hide-scrollbars",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        own.as_str(),
    ];
    let output =
        Command::new("chromium").args(fixed).args(args).stdin(Stdio::null()).output().unwrap_or_else(
            |error| panic!("chromium cannot be run ({error}): scripts/deps --tests installs it"),
        );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a page can be written");
    format!("file://{}", path.display())
}

/// What the probe saw of `page` in a frame of this width; a window is never as narrow as a phone.
fn probe(page: &str, width: u32, args: &[&str]) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = page.find("script-src '").expect("a policy");
    let end = policy + page[policy..].find('"').expect("its end");
    let open = format!("{}script-src 'unsafe-inline'{}", &page[..policy], &page[end..]);
    let probed = open.replace("</body>", &format!("<script>{PROBE}</script></body>"));
    let quoted = probed.replace('&', "&amp;").replace('"', "&quot;");
    let outer = format!(
        "<!DOCTYPE html><meta charset=utf-8><iframe style=\"width:{width}px;height:900px;border:0\" srcdoc=\"{quoted}\"></iframe>"
    );
    let url = write(dir.path(), "outer.html", &outer);
    let dom = chromium(dir.path(), &[args, &["--window-size=1500,1000", "--dump-dom", &url]].concat());
    let start = dom.find("data-probe=\"").expect("the probe ran") + "data-probe=\"".len();
    let json = decoded(dom[start..].split('"').next().expect("its end"));
    serde_json::from_str(&json).expect("JSON")
}

/// The inverse of JavaScript's `encodeURIComponent`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex =
            |byte: Option<u8>| char::from(byte.expect("two digits")).to_digit(16).expect("a digit") as u8;
        bytes.push(if byte == b'%' { hex(rest.next()) << 4 | hex(rest.next()) } else { byte });
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_page_is_no_wider_than_its_window() {
    for width in [320, 390, 768, 1280] {
        let seen = probe(&page(), width, &[]);
        assert_eq!((&seen["width"], &seen["page"]), (&width.into(), &width.into()));
    }
    // A wide table does make it wider where it has no box of its own to scroll in.
    let loose = page().replace("overflow-x: auto", "overflow-x: visible");
    let wide = probe(&loose, 390, &[])["page"].as_u64().expect("a width");
    assert!(wide > 390, "{wide}");
}

#[test]
fn every_text_has_enough_contrast_light_and_dark() {
    for (args, dark) in [(&[][..], false), (&[DARK][..], true)] {
        let seen = probe(&page(), 1280, args);
        assert_eq!(seen["dark"], dark);
        assert!(seen["texts"].as_u64() > Some(200), "{}", seen["texts"]);
        assert_eq!(strings(&seen["faint"]), [""; 0], "dark: {dark}");
    }
    let faint = page().replace("--soft: #5a5f69", "--soft: #a0a5af");
    assert!(!strings(&probe(&faint, 1280, &[])["faint"]).is_empty());
}

#[test]
fn a_benchmarks_page_fits_its_window_and_is_legible() {
    for (width, args) in [(320, &[][..]), (1280, &[][..]), (1280, &[DARK][..])] {
        let seen = probe(&bench_page(), width, args);
        assert_eq!((&seen["width"], &seen["page"]), (&width.into(), &width.into()));
        assert!(seen["texts"].as_u64() > Some(100), "{}", seen["texts"]);
        assert_eq!(strings(&seen["faint"]), [""; 0], "{width}");
        assert_eq!(strings(&seen["unseen"]), [""; 0], "{width}");
        assert_eq!(strings(&seen["resources"]), [""; 0]);
    }
}

#[test]
fn typing_shows_the_rows_that_have_every_word() {
    let seen = probe(&page(), 1280, &[]);
    let rows = Record::from_json(SAMPLE).expect("a record").ops;
    let wanted = rows.iter().filter(|row| row.arch == "aarch64" && row.name.contains("rotate")).count();
    assert_eq!(seen["rows"]["all"], rows.len());
    let shown = strings(&seen["rows"]["shown"]);
    assert!(wanted > 0 && wanted < rows.len() && shown.len() == wanted, "{shown:?}");
    assert_eq!(seen["rows"]["told"], format!("{wanted} of {} rows", rows.len()));
}

#[test]
fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    for args in [&[][..], &[DARK][..]] {
        let seen = probe(&page(), 390, args);
        assert!(seen["reached"].as_u64() > Some(20), "{}", seen["reached"]);
        assert_eq!(strings(&seen["unseen"]), [""; 0]);
    }
}

#[test]
fn the_script_runs_under_the_pages_own_policy_and_no_other_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let form = |name: &str, page: &str| {
        let dom = chromium(dir.path(), &["--dump-dom", &write(dir.path(), name, page)]);
        dom[dom.find("<form").expect("a form")..].split('>').next().expect("its end").to_owned()
    };
    assert!(!form("whole.html", &page()).contains("hidden"), "the hash in html.rs is not that of script.js");
    let changed = page().replace("\"use strict\";\n(() => {", "\"use strict\";\n(() => { /* changed */");
    assert!(form("changed.html", &changed).contains("hidden"));
}

#[test]
fn nothing_is_requested_from_the_network() {
    let dir = tempfile::tempdir().expect("a directory");
    let requested = |name: &str, page: &str| -> BTreeSet<String> {
        let log = dir.path().join(format!("{name}.json"));
        let url = write(dir.path(), name, page);
        chromium(dir.path(), &[&format!("--log-net-log={}", log.display()), "--dump-dom", &url]);
        let log: Value = serde_json::from_slice(&fs::read(log).expect("a log")).expect("JSON");
        let events = log["events"].as_array().expect("events");
        let urls = events.iter().filter_map(|event| event["params"]["url"].as_str());
        let host =
            |url: &str| url.split("//").nth(1).unwrap_or("").split('/').next().unwrap_or("").to_owned();
        let is_own = |url: &str| OWN_HOSTS.iter().any(|own| host(url).ends_with(own));
        urls.filter(|url| url.contains("://") && !url.starts_with("file:") && !is_own(url))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(requested("page.html", &page()), BTreeSet::new());
    assert_eq!(strings(&probe(&page(), 1280, &[])["resources"]), [""; 0]);
    // Its policy keeps even a picture that is in it from being fetched; without the policy the log shows it.
    let picture = page().replace("</body>", "<img src=\"http://127.0.0.1:9/picture.png\"></body>");
    assert_eq!(requested("picture.html", &picture), BTreeSet::new());
    let open = picture.replace("default-src 'none'", "default-src *").replace("img-src data:", "img-src *");
    assert_eq!(requested("open.html", &open), BTreeSet::from(["http://127.0.0.1:9/picture.png".to_owned()]));
}

#[test]
fn pictures_of_the_page_are_not_blank() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = write(dir.path(), "page.html", &page());
    for (width, height) in [(390, 844), (1280, 900)] {
        let brightness = [None, Some(DARK)].map(|scheme| {
            let shot = dir.path().join("shot.png");
            let size = format!("--window-size={width},{height}");
            let path = format!("--screenshot={}", shot.display());
            let args: Vec<&str> =
                [size.as_str(), path.as_str(), url.as_str()].into_iter().chain(scheme).collect();
            chromium(dir.path(), &args);
            let (size, pixels) = pixels(&shot);
            assert_eq!(size, (width, height));
            let colours: BTreeSet<&[u8]> = pixels.chunks_exact(3).collect();
            assert!(colours.len() > 100, "{} colours", colours.len());
            pixels.iter().map(|byte| f64::from(*byte)).sum::<f64>() / pixels.len() as f64
        });
        assert!(brightness[0] > 220.0 && brightness[1] < 60.0, "{brightness:?}");
    }
}

/// The size of a PNG file, and red, green and blue of its pixels.
fn pixels(path: &Path) -> ((u32, u32), Vec<u8>) {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a picture"));
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().expect("a PNG file");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a size that fits")];
    let info = reader.next_frame(&mut bytes).expect("a picture");
    let samples = info.color_type.samples();
    let pixels = bytes[..info.buffer_size()].chunks_exact(samples).flat_map(|pixel| pixel[..3].to_vec());
    ((info.width, info.height), pixels.collect())
}
