//! The page in a real browser, where there is one: no errors, no network, nothing wider than a phone, and it follows the colour scheme.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::sample;
use super::{html, of_comparison};
use crate::report::format::escape_html;

const SCREENSHOT: &str = "screenshot.png";

/// Chromium, or nothing where the machine has none; said aloud, since a test that was skipped proves nothing.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|at| at.join("chromium")).find(|at| at.is_file());
    if found.is_none() {
        eprintln!("skipped: there is no chromium on the PATH");
    }
    found
}

/// What a browser printed, and its complaints.
fn run(browser: &Path, scratch: &Path, page: &str, options: &[&str]) -> (String, String) {
    let file = scratch.join("page.html");
    fs::write(&file, page).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=2000", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", scratch.join("profile").display()))
        .args(options)
        .arg(format!("file://{}", file.display()))
        .current_dir(scratch)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

/// The page in a frame as wide as a phone, and a script that writes what is too wide into the title.
fn in_a_frame(page: &str, width: u32) -> String {
    format!(
        "<!doctype html><body><iframe style=\"width:{width}px;height:800px;border:0\" \
         srcdoc=\"{}\"></iframe><script>\
         document.querySelector('iframe').onload = function () {{\
           var inner = this.contentDocument;\
           var wide = [];\
           inner.querySelectorAll('body *').forEach(function (element) {{\
             if (element.closest('.scroll, pre')) return;\
             if (element.getBoundingClientRect().right > {width} + 1) wide.push(element.tagName + '.' + element.className);\
           }});\
           document.title = 'measured ' + inner.documentElement.scrollWidth + ' of {width}; too wide: [' + wide.join(' ') + ']';\
         }};</script></body>",
        escape_html(page)
    )
}

#[test]
fn the_page_asks_for_nothing_from_a_network() {
    let reports = [sample::broken(), sample::valid(), sample::durability()];
    let pages = reports.iter().map(html).chain([of_comparison(&sample::comparison())]);
    for page in pages {
        for forbidden in ["http://", "https://", "src=", "url(", "@import", "//cdn"] {
            assert!(!page.contains(forbidden), "{forbidden} in the page");
        }
        assert_eq!(page.matches("href=").count(), 1, "the empty icon alone");
    }
}

#[test]
fn the_plots_stay_small_when_a_run_is_long() {
    let page = html(&sample::broken());
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn a_browser_shows_the_page_without_complaint() {
    let Some(browser) = browser() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let page = html(&sample::broken());
    let (dom, complaints) = run(&browser, scratch.path(), &page, &["--dump-dom"]);
    assert!(!complaints.contains("CONSOLE"), "{complaints}");
    // The script has run: it shows the switch and adds a cursor to each plot over time.
    assert!(!dom.contains("type=\"button\" hidden"), "the script did not run");
    assert_eq!(dom.matches("class=\"cursor\"").count(), 2);
    assert!(dom.contains("3 acknowledged records were lost"));
}

#[test]
fn nothing_is_wider_than_a_phone() {
    let Some(browser) = browser() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let comparison = of_comparison(&sample::comparison());
    for page in [html(&sample::broken()), html(&sample::durability()), comparison] {
        let page = in_a_frame(&page, 360);
        let (dom, _) = run(&browser, scratch.path(), &page, &["--dump-dom"]);
        let expected = "measured 360 of 360; too wide: []";
        assert_eq!(title(&dom), expected);
    }
}

#[test]
fn the_page_follows_the_colour_scheme() {
    let Some(browser) = browser() else { return };
    let scratch = tempfile::tempdir().unwrap();
    // What the browser made of the style: two screenshots of the same page may differ by a shade.
    let page = html(&sample::valid())
        + "<script>document.title = getComputedStyle(document.body).backgroundColor</script>";
    let shown = |scheme: &str| {
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let screenshot = format!("--screenshot={SCREENSHOT}");
        let options = [scheme.as_str(), screenshot.as_str(), "--window-size=800,600"];
        run(&browser, scratch.path(), &page, &options);
        let (dom, _) = run(&browser, scratch.path(), &page, &[&scheme, "--dump-dom"]);
        (title(&dom).to_owned(), fs::read(scratch.path().join(SCREENSHOT)).unwrap())
    };
    let ((dark, dark_image), (light, light_image)) = (shown("0"), shown("1"));
    assert_eq!((dark.as_str(), light.as_str()), ("rgb(18, 22, 27)", "rgb(252, 252, 251)"));
    assert!(dark_image != light_image, "the screenshots are the same");
}

fn title(dom: &str) -> &str {
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    title.unwrap_or_default()
}
