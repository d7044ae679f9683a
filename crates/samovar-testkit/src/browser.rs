//! A real headless browser for the page's tests.
//!
//! [`Browser`] starts Chromium and speaks the DevTools protocol with it over a pair of pipes: no
//! port to be free, no web socket, and a test that dies in whatever way takes its browser along,
//! because Chromium quits when its pipe closes. The few commands used are JSON by hand; the driver
//! crates generate the whole protocol as types, which would cost every test build a minute.
//!
//! Nothing here sleeps: what acts on an element waits, frame by frame inside the page, until the
//! element is there and can be acted upon.

mod find;
mod keys;
mod wire;

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use base64::Engine as _;
use serde_json::{Value, json};

pub use find::CHROMIUM;
use wire::Wire;

/// How long [`Browser::click`], [`Browser::fill`] and [`Browser::text`] wait for their element, and
/// [`Browser::open`] for its page: generous, since it only ever passes when the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What went wrong in the browser, in words fit for the output of a failed test.
///
/// ```no_run
/// # use samovar_testkit::browser::{Browser, BrowserError};
/// # fn main() -> Result<(), BrowserError> {
/// let mut page = Browser::launch()?;
/// let wrong = page.press("Entre").expect_err("there is no such key");
/// assert!(wrong.to_string().starts_with("no key `Entre`"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BrowserError(String);

impl BrowserError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for BrowserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BrowserError {}

type Result<T> = std::result::Result<T, BrowserError>;

/// The colours the reader's system asks for.
///
/// ```no_run
/// # use samovar_testkit::browser::{Browser, BrowserError, Motion, Scheme};
/// # fn main() -> Result<(), BrowserError> {
/// let mut page = Browser::launch()?;
/// for (scheme, dark) in [(Scheme::Light, false), (Scheme::Dark, true)] {
///     page.emulate(scheme, Motion::Full)?;
///     assert_eq!(page.eval("matchMedia('(prefers-color-scheme: dark)').matches")?, dark);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on light ground.
    Light,
    /// Light text on dark ground.
    Dark,
}

/// How much movement the reader's system asks for.
///
/// ```no_run
/// # use samovar_testkit::browser::{Browser, BrowserError, Motion, Scheme};
/// # fn main() -> Result<(), BrowserError> {
/// let mut page = Browser::launch()?;
/// for (motion, reduced) in [(Motion::Full, false), (Motion::Reduced, true)] {
///     page.emulate(Scheme::Light, motion)?;
///     assert_eq!(page.eval("matchMedia('(prefers-reduced-motion)').matches")?, reduced);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// No preference: animations run.
    Full,
    /// As little as possible.
    Reduced,
}

/// A headless browser with one tab. It is closed, and its profile removed, when this is dropped.
///
/// ```no_run
/// use std::time::Duration;
/// use samovar_testkit::browser::{Browser, BrowserError};
///
/// fn shows_the_orders() -> Result<(), BrowserError> {
///     let mut page = Browser::launch()?;
///     page.viewport(390, 844)?; // a phone
///     page.open("http://127.0.0.1:8051/")?;
///     page.wait_for("#orders", Duration::from_secs(5))?;
///     page.click("#refresh")?;
///     page.wait_until("document.title.includes('fresh')", Duration::from_secs(5))?;
///     assert_eq!(page.console_errors()?, Vec::<String>::new());
///     page.screenshot("docs/img/phone.png")
/// }
/// ```
#[derive(Debug)]
pub struct Browser {
    wire: Wire,
}

impl Browser {
    /// Starts Chromium: the program that [`CHROMIUM`] names, or the one on the search path. It gets
    /// a profile of its own that is thrown away afterwards, a window of 1280 × 800 and English as
    /// its language.
    ///
    /// # Errors
    /// If there is no Chromium (the message says how to install it) or it does not start.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// assert_eq!(page.eval("innerWidth")?, 1280);
    /// assert_eq!(page.eval("navigator.language")?, "en-US");
    /// # Ok(())
    /// # }
    /// ```
    pub fn launch() -> Result<Self> {
        let mut browser = Self { wire: Wire::launch(&find::find().map_err(BrowserError)?)? };
        browser.viewport(1280, 800)?;
        Ok(browser)
    }

    /// Goes to `url` and returns when the page and what it refers to have loaded. Forgets the
    /// console errors of the page before.
    ///
    /// # Errors
    /// If the address cannot be reached, or its `load` event stays away for [`PATIENCE`].
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<title>Tea</title>")?;
    /// assert_eq!(page.eval("document.title")?, "Tea");
    /// assert!(page.open("http://127.0.0.1:1/").is_err(), "nobody listens there");
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(&mut self, url: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.wire.console.clear();
        let answer = self.wire.call("Page.navigate", json!({ "url": url }))?;
        if let Some(error) = answer["errorText"].as_str() {
            return Err(BrowserError(format!("cannot open {url}: {error}")));
        }
        // Without a loader the document stayed: only the part after `#` changed.
        let Some(loader) = answer["loaderId"].as_str().map(str::to_owned) else { return Ok(()) };
        self.wire.wait_for_load(&loader, deadline, url)
    }

    /// Waits until an element that matches `css` is visible.
    ///
    /// # Errors
    /// If none is after `patience`; the message quotes what the page shows instead.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<h1>Tea</h1>")?;
    /// page.wait_for("h1", Duration::from_secs(5))?;
    /// let wrong = page.wait_for("h2", Duration::ZERO).expect_err("there is none");
    /// assert!(wrong.to_string().contains("Tea"), "this is what it shows");
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(&mut self, css: &str, patience: Duration) -> Result<()> {
        let seen = format!("{VISIBLE}({})", quote(css));
        self.poll(&seen, patience, &format!("`{css}` to be visible")).map(drop)
    }

    /// Waits until the JavaScript expression `predicate` is truthy. It is evaluated once per frame,
    /// so it should be cheap; while it throws, it counts as false.
    ///
    /// # Errors
    /// If it is not after `patience`; the message quotes what the page shows instead.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<script>setTimeout(() => document.title = 'fresh')</script>")?;
    /// page.wait_until("document.title === 'fresh'", Duration::from_secs(5))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_until(&mut self, predicate: &str, patience: Duration) -> Result<()> {
        self.poll(&format!("Boolean({predicate})"), patience, &format!("`{predicate}`")).map(drop)
    }

    /// Clicks the middle of the first element that matches `css` with the mouse, once it is
    /// visible, enabled and not covered by another.
    ///
    /// # Errors
    /// If that does not come true within [`PATIENCE`].
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<button onclick='this.innerText = `poured`'>Pour</button>")?;
    /// page.click("button")?;
    /// assert_eq!(page.text("button")?, "poured");
    /// # Ok(())
    /// # }
    /// ```
    pub fn click(&mut self, css: &str) -> Result<()> {
        let point = format!(
            "(() => {{
                const e = {VISIBLE}({css});
                if (!e || e.disabled) return null;
                e.scrollIntoView({{ block: 'center', inline: 'center', behavior: 'instant' }});
                const r = e.getBoundingClientRect();
                const at = {{ x: r.x + r.width / 2, y: r.y + r.height / 2 }};
                const top = document.elementFromPoint(at.x, at.y);
                return top && e.contains(top) ? at : null;
            }})()",
            css = quote(css)
        );
        let what = format!("`{css}` to be visible, enabled and uncovered");
        let at = self.poll(&point, PATIENCE, &what)?;
        for (kind, buttons) in [("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            self.wire.call(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": at["x"], "y": at["y"], "button": button,
                        "buttons": buttons, "clickCount": i32::from(kind != "mouseMoved") }),
            )?;
        }
        Ok(())
    }

    /// Makes `text` the value of the first input, text area or select that matches `css`, as a
    /// reader would: it gets the focus and its `input` event. Where the text is typed, `change`
    /// follows as always when the focus leaves or Enter is pressed; a date (given as `2026-02-03`)
    /// and a select (given the value of one of its options) get it at once.
    ///
    /// # Errors
    /// If the element does not become visible and enabled within [`PATIENCE`], or does not accept
    /// this value.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<input id=tea><input id=day type=date>")?;
    /// page.fill("#tea", "green")?;
    /// page.fill("#day", "2026-02-03")?;
    /// assert_eq!(page.eval("tea.value + day.value")?, "green2026-02-03");
    /// assert!(page.fill("#day", "tomorrow").is_err(), "that is no date");
    /// # Ok(())
    /// # }
    /// ```
    pub fn fill(&mut self, css: &str, text: &str) -> Result<()> {
        let selected = format!(
            "(() => {{
                const e = {VISIBLE}({css});
                if (!e || e.disabled || e.readOnly) return null;
                e.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                e.focus();
                const typed = e.tagName === 'TEXTAREA' || e.isContentEditable || e.tagName === 'INPUT'
                    && ['text', 'search', 'email', 'url', 'tel', 'password', 'number'].includes(e.type);
                if (!typed) return 'set';
                e.select ? e.select() : getSelection().selectAllChildren(e);
                return 'type';
            }})()",
            css = quote(css)
        );
        let what = format!("`{css}` to be visible and enabled");
        let how = self.poll(&selected, PATIENCE, &what)?;
        let typed = how == "type";
        match (typed, text.is_empty()) {
            (true, true) => self.press("Delete")?,
            (true, false) => {
                self.wire.call("Input.insertText", json!({ "text": text }))?;
            }
            (false, _) => {}
        }
        let value = self.eval(&format!(
            "(() => {{
                const e = document.activeElement;
                if (!{typed}) {{
                    e.value = {text};
                    for (const kind of ['input', 'change'])
                        e.dispatchEvent(new Event(kind, {{ bubbles: true }}));
                }}
                return e.isContentEditable ? e.innerText : e.value;
            }})()",
            text = quote(text)
        ))?;
        if value == text {
            return Ok(());
        }
        Err(BrowserError(format!("`{css}` does not accept {text:?}: its value is now {value}")))
    }

    /// Presses a key, which goes to the element that has the focus: a character, or one of the
    /// names of the DOM such as `Enter`, `Tab`, `Escape`, `ArrowDown`; with `Shift+`, `Control+`,
    /// `Alt+` or `Meta+` before it where wanted.
    ///
    /// # Errors
    /// If no such key is known.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<input>")?;
    /// page.fill("input", "Tea")?;
    /// page.press("Shift+ArrowLeft")?; // selects the last letter
    /// page.press("n")?;
    /// assert_eq!(page.eval("document.activeElement.value")?, "Ten");
    /// # Ok(())
    /// # }
    /// ```
    pub fn press(&mut self, key: &str) -> Result<()> {
        for event in keys::events(key)? {
            self.wire.call("Input.dispatchKeyEvent", event)?;
        }
        Ok(())
    }

    /// The text of the first visible element that matches `css`, as it is shown (an element that is
    /// hidden is left out, and case follows the style sheet).
    ///
    /// # Errors
    /// If there is none within [`PATIENCE`].
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<p hidden>Cup</p><p>Tea <b hidden>cold</b></p>")?;
    /// assert_eq!(page.text("p")?, "Tea");
    /// # Ok(())
    /// # }
    /// ```
    pub fn text(&mut self, css: &str) -> Result<String> {
        // The text travels inside a list, because an empty one is falsy.
        let text = format!(
            "(() => {{ const e = {VISIBLE}({}); return e && [e.innerText]; }})()",
            quote(css)
        );
        let found = self.poll(&text, PATIENCE, &format!("`{css}` to be visible"))?;
        Ok(found[0].as_str().unwrap_or_default().to_owned())
    }

    /// The value of a JavaScript expression, as JSON; of a promise, the value it comes to.
    /// `undefined` is null.
    ///
    /// # Errors
    /// If it throws, or its promise is rejected.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// assert_eq!(page.eval("[1, 2].map((n) => n * 2)")?, serde_json::json!([2, 4]));
    /// assert_eq!(page.eval("Promise.resolve('Tea')")?, "Tea");
    /// assert!(page.eval("null.cup").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn eval(&mut self, js: &str) -> Result<Value> {
        self.wire.evaluate(js, PATIENCE)
    }

    /// Makes the window `width` × `height` CSS pixels. Below 600 wide it behaves like a phone, so
    /// that a page that does not adapt is laid out as a phone would lay it out.
    ///
    /// # Errors
    /// If the browser has gone away.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.viewport(390, 844)?;
    /// page.open("data:text/html,<meta name=viewport content='width=device-width'>")?;
    /// assert_eq!(page.eval("[innerWidth, innerHeight]")?, serde_json::json!([390, 844]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn viewport(&mut self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
                              "mobile": width < 600 });
        self.wire.call("Emulation.setDeviceMetricsOverride", metrics).map(drop)
    }

    /// Makes the page believe that the reader's system asks for these.
    ///
    /// # Errors
    /// If the browser has gone away.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError, Motion, Scheme};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.emulate(Scheme::Dark, Motion::Reduced)?;
    /// assert_eq!(page.eval("matchMedia('(prefers-color-scheme: dark)').matches")?, true);
    /// assert_eq!(page.eval("matchMedia('(prefers-reduced-motion)').matches")?, true);
    /// # Ok(())
    /// # }
    /// ```
    pub fn emulate(&mut self, scheme: Scheme, motion: Motion) -> Result<()> {
        let scheme = if scheme == Scheme::Dark { "dark" } else { "light" };
        let motion = if motion == Motion::Reduced { "reduce" } else { "no-preference" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme },
                              { "name": "prefers-reduced-motion", "value": motion }]);
        self.wire.call("Emulation.setEmulatedMedia", json!({ "features": features })).map(drop)
    }

    /// Makes the pages opened from now on believe that the reader's language is `locale`, such as
    /// `de-DE`: numbers and dates are formatted so, and `navigator.language` and the header
    /// `Accept-Language` say so.
    ///
    /// # Errors
    /// If the browser has gone away.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.locale("de-DE")?;
    /// page.open("data:text/html,<h1>Tee</h1>")?;
    /// assert_eq!(page.eval("navigator.language")?, "de-DE");
    /// assert_eq!(page.eval("(1.5).toLocaleString()")?, "1,5");
    /// # Ok(())
    /// # }
    /// ```
    pub fn locale(&mut self, locale: &str) -> Result<()> {
        let agent = self.eval("navigator.userAgent")?;
        let agent = json!({ "userAgent": agent, "acceptLanguage": locale });
        self.wire.call("Emulation.setUserAgentOverride", agent)?;
        self.wire.call("Emulation.setLocaleOverride", json!({ "locale": locale })).map(drop)
    }

    /// What went wrong in the page since it was opened: calls of `console.error`, exceptions nobody
    /// caught, and resources that failed to load (an answer of 400 and above included).
    ///
    /// # Errors
    /// If the browser has gone away.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<script>console.error('spilt'); null.cup</script>")?;
    /// assert_eq!(page.console_errors()?.len(), 2);
    /// page.open("data:text/html,<h1>Tea</h1>")?;
    /// assert!(page.console_errors()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn console_errors(&mut self) -> Result<Vec<String>> {
        // One round trip: what the page did before it is reported before its answer.
        self.eval("null")?;
        Ok(self.wire.console.clone())
    }

    /// Writes what the window shows as a PNG file; makes the folders above it.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::Browser;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut page = Browser::launch()?;
    /// page.open("data:text/html,<h1>Tea</h1>")?;
    /// let picture = page.profile().join("shots/tea.png");
    /// page.screenshot(&picture)?;
    /// assert!(std::fs::read(&picture)?.starts_with(b"\x89PNG"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn screenshot(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let shot = self.wire.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let png = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap_or_default())
            .map_err(|error| BrowserError(format!("the screenshot is not base64: {error}")))?;
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, png)
        };
        write().map_err(|error| BrowserError(format!("cannot write {}: {error}", path.display())))
    }

    /// The folder with the browser's profile, which is removed when the browser is dropped.
    ///
    /// ```no_run
    /// # use samovar_testkit::browser::{Browser, BrowserError};
    /// # fn main() -> Result<(), BrowserError> {
    /// let page = Browser::launch()?;
    /// let profile = page.profile().to_owned();
    /// assert!(profile.is_dir());
    /// drop(page);
    /// assert!(!profile.exists());
    /// # Ok(())
    /// # }
    /// ```
    pub fn profile(&self) -> &Path {
        self.wire.profile.path()
    }

    /// The first truthy value of `js`, evaluated once per frame inside the page.
    fn poll(&mut self, js: &str, patience: Duration, what: &str) -> Result<Value> {
        let deadline = Instant::now() + patience;
        let mut left = patience;
        loop {
            let waiting = format!(
                "new Promise((done) => {{
                    const end = performance.now() + {};
                    const look = () => {{
                        let value = null;
                        try {{ value = {js}; }} catch {{ }}
                        if (value || performance.now() >= end) done(value || null);
                        else requestAnimationFrame(look);
                    }};
                    look();
                }})",
                left.as_millis()
            );
            // A while longer than the page's own deadline: a busy machine answers late.
            let outcome = self.wire.evaluate(&waiting, left + PATIENCE);
            left = deadline.saturating_duration_since(Instant::now());
            match outcome {
                Ok(Value::Null) => break,
                Ok(value) => return Ok(value),
                // The page went elsewhere meanwhile: look again in the new one.
                Err(error) if wire::navigated(&error) && !left.is_zero() => {}
                Err(error) => return Err(error),
            }
        }
        let shown = self
            .eval("location.href + ' shows: ' + (document.body?.innerText ?? '').slice(0, 1500)")
            .unwrap_or_default();
        let shown = shown.as_str().unwrap_or("(nothing)");
        let errors = self.wire.console.join("\n  ");
        let seconds = patience.as_secs_f32();
        Err(BrowserError(format!(
            "waited {seconds} s for {what}\n{shown}\nconsole errors:\n  {errors}"
        )))
    }
}

/// A JavaScript function: the first element for a selector that takes up room and is not hidden.
const VISIBLE: &str = "((css) => [...document.querySelectorAll(css)].find((e) => \
                       e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length))";

/// `text` as a JavaScript literal.
fn quote(text: &str) -> Value {
    Value::from(text)
}
