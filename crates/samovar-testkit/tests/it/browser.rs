//! The browser against small pages, each served from a listener of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use samovar_testkit::browser::{Browser, Motion, Scheme};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

const PAGE: &str = r##"<!doctype html><html lang="en"><title>Tea</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>
  @media (prefers-color-scheme: dark) { body { background: #111 } }
  @media (prefers-reduced-motion: reduce) { h1 { order: 7 } }
  #cover { position: fixed; inset: 0 }
</style>
<h1>Tea</h1><p class="hidden" hidden>never</p><p id="said"></p>
<input id="name"><textarea id="note">old</textarea><input id="day" type="date">
<select id="kind"><option value="green">Green</option><option value="black">Black</option></select>
<button id="pour">Pour</button><button id="later" hidden>Later</button>
<button id="leave">Leave</button><div style="height: 3000px"></div><button id="deep">Deep</button>
<script>
  const said = document.querySelector("#said");
  const log = [];
  for (const kind of ["input", "change"])
    addEventListener(kind, (e) => log.push(`${e.target.id} ${kind} ${e.target.value}`));
  addEventListener("keydown", (e) => log.push(`${e.ctrlKey ? "^" : ""}${e.key}`));
  document.querySelector("#pour").onclick = (e) => {
    said.textContent = e.isTrusted ? "poured" : "faked";
    requestAnimationFrame(() => document.querySelector("#later").hidden = false);
  };
  document.querySelector("#later").onclick = () => said.textContent = "at last";
  document.querySelector("#deep").onclick = () => said.textContent = "deep";
  document.querySelector("#leave").onclick = () => location.href = "/other";
</script>"##;

const OTHER: &str =
    r#"<!doctype html><title>Other</title><link rel="icon" href="data:,"><h1>Other</h1>"#;

const BROKEN: &str = r##"<!doctype html><title>Broken</title><link rel="icon" href="data:,">
<img src="/gone.png"><script>
  console.log("harmless"); console.error("spilt", 3, { a: 1 });
  Promise.reject(new Error("cold")); null.cup;
</script>"##;

/// Serves the pages on a free port and returns its address; the thread ends with the process.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        // A thread each: a browser opens connections ahead and leaves them silent.
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let language =
        lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).find_map(|line| {
            line.to_lowercase().strip_prefix("accept-language: ").map(str::to_owned)
        });
    let (status, body) = match request.split(' ').nth(1).unwrap_or_default() {
        "/" => ("200 OK", PAGE.to_owned()),
        "/other" => ("200 OK", OTHER.to_owned()),
        "/broken" => ("200 OK", BROKEN.to_owned()),
        "/language" => ("200 OK", language.unwrap_or_default()),
        _ => ("404 Not Found", String::new()),
    };
    let size = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {size}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[test]
fn clicks_and_waits_for_what_they_bring() {
    let mut page = Browser::launch().unwrap();
    page.open(&serve()).unwrap();
    assert_eq!(page.text("h1").unwrap(), "Tea");
    page.click("#pour").unwrap();
    // Hidden until the next frame: the click waits for it.
    page.click("#later").unwrap();
    page.wait_until("said.textContent === 'at last'", SOON).unwrap();
    page.click("#deep").unwrap();
    assert_eq!(page.text("#said").unwrap(), "deep");
    // Across a navigation.
    page.click("#leave").unwrap();
    page.wait_until("document.title === 'Other'", SOON).unwrap();
    assert_eq!(page.text("h1").unwrap(), "Other");
    assert_eq!(page.console_errors().unwrap(), Vec::<String>::new());
}

#[test]
fn fills_and_presses_like_a_reader() {
    let mut page = Browser::launch().unwrap();
    page.open(&serve()).unwrap();
    page.fill("#name", "门店 \"7\"").unwrap();
    page.fill("#note", "").unwrap();
    page.fill("#day", "2026-02-03").unwrap();
    page.fill("#kind", "black").unwrap();
    let wrong = page.fill("#kind", "blue").unwrap_err().to_string();
    assert!(wrong.contains("does not accept \"blue\""), "{wrong}");
    let log = page.eval("log.splice(0)").unwrap();
    let want = json!([
        "name input 门店 \"7\"",
        "name change 门店 \"7\"",
        "Delete",
        "note input ",
        "note change ",
        "day input 2026-02-03",
        "day change 2026-02-03",
        "kind input black",
        "kind change black",
        "kind input ",
        "kind change ",
    ]);
    assert_eq!(log, want);

    page.fill("#name", "te").unwrap();
    page.press("a").unwrap();
    page.press("Control+a").unwrap();
    assert_eq!(page.eval("document.querySelector('#name').value").unwrap(), "tea");
    page.press("Tab").unwrap();
    assert_eq!(page.eval("document.activeElement.id").unwrap(), "note");
    page.press("Shift+Tab").unwrap();
    assert_eq!(page.eval("document.activeElement.id").unwrap(), "name");
    page.eval("document.querySelector('#pour').focus()").unwrap();
    page.press("Enter").unwrap();
    assert_eq!(page.text("#said").unwrap(), "poured");
    assert!(page.press("Kettle").unwrap_err().to_string().contains("no key `Kettle`"));
}

#[test]
fn says_what_it_waited_for_and_what_it_saw() {
    let mut page = Browser::launch().unwrap();
    page.open(&serve()).unwrap();
    let short = Duration::from_millis(50);
    let error = page.wait_for(".hidden", short).unwrap_err().to_string();
    assert!(error.contains(".hidden") && error.contains("Tea"), "{error}");
    page.wait_until("undeclared.thing", short).unwrap_err();
    assert!(page.eval("null.cup").unwrap_err().to_string().contains("TypeError"));
    assert_eq!(page.eval("fetch('/other').then((r) => r.status)").unwrap(), 200);
    // Port 1 is reserved and nobody answers there.
    assert!(page.open("http://127.0.0.1:1/").unwrap_err().to_string().contains("cannot open"));
}

#[test]
fn collects_what_the_console_complains_about() {
    let site = serve();
    let mut page = Browser::launch().unwrap();
    page.open(&format!("{site}/broken")).unwrap();
    let errors = page.console_errors().unwrap();
    for part in ["console.error: spilt 3", "cold", "null", "gone.png"] {
        assert!(errors.iter().any(|error| error.contains(part)), "{part} in {errors:#?}");
    }
    assert_eq!(errors.len(), 4, "{errors:#?}");
    page.open(&site).unwrap();
    assert_eq!(page.console_errors().unwrap(), Vec::<String>::new());
}

#[test]
fn shows_the_page_as_the_reader_wants_it() {
    let site = serve();
    let mut page = Browser::launch().unwrap();
    page.viewport(390, 844).unwrap();
    page.emulate(Scheme::Dark, Motion::Reduced).unwrap();
    page.open(&site).unwrap();
    let shown = "[innerWidth, getComputedStyle(document.body).backgroundColor,
                  getComputedStyle(document.querySelector('h1')).order]";
    assert_eq!(page.eval(shown).unwrap(), json!([390, "rgb(17, 17, 17)", "7"]));
    page.emulate(Scheme::Light, Motion::Full).unwrap();
    assert_eq!(page.eval(shown).unwrap(), json!([390, "rgba(0, 0, 0, 0)", "0"]));

    page.locale("de-DE").unwrap();
    page.open(&format!("{site}/language")).unwrap();
    assert!(page.text("body").unwrap().starts_with("de-de"));
    assert_eq!(page.eval("(1234.5).toLocaleString()").unwrap(), "1.234,5");

    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("img/page.png");
    page.screenshot(&picture).unwrap();
    let png = std::fs::read(picture).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    // Width and height stand big-endian after the header.
    assert_eq!(png[16..24], [0, 0, 1, 134, 0, 0, 3, 76]);
}

#[test]
fn waits_until_nothing_covers_what_it_clicks() {
    let mut page = Browser::launch().unwrap();
    page.open(&serve()).unwrap();
    page.eval(
        "(() => { const cover = document.createElement('div'); cover.id = 'cover';
                  document.body.append(cover);
                  let frames = 20;
                  const fade = () => --frames ? requestAnimationFrame(fade) : cover.remove();
                  fade(); })()",
    )
    .unwrap();
    page.click("#pour").unwrap();
    assert_eq!(page.text("#said").unwrap(), "poured");
}

/// The browser quits, and takes its profile along, even when a test panics.
#[test]
fn leaves_nothing_behind() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let test = thread::spawn(move || {
        let mut page = Browser::launch().unwrap();
        page.open(&serve()).unwrap();
        let profile = page.profile().to_owned();
        assert!(profile.exists());
        sender.send(profile).unwrap();
        std::panic::resume_unwind(Box::new("a failed assertion"));
    });
    let profile: PathBuf = receiver.recv().unwrap();
    assert!(test.join().is_err());
    assert!(!profile.exists(), "{}", profile.display());
}
