//! A browser, and what people do in it.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headless_chrome::browser::default_executable;
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption;
use headless_chrome::protocol::cdp::types::{Event, Method};
use headless_chrome::{Browser as Chromium, LaunchOptions, Tab};
use serde::Serialize;
use serde_json::Value;

use crate::listeners::are_installed;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command of the `DevTools` protocol; its answer is not looked at.
macro_rules! command {
    ($name:ident = $method:literal { $($field:ident: $kind:ty),* }) => {
        #[derive(Debug, Serialize)]
        #[serde(rename_all = "camelCase")]
        struct $name { $($field: $kind),* }

        impl Method for $name {
            const NAME: &'static str = $method;
            type ReturnObject = Value;
        }
    };
}

command!(SetMedia = "Emulation.setEmulatedMedia" { features: Vec<Feature> });
command!(SetSize = "Emulation.setDeviceMetricsOverride" { width: u32, height: u32, device_scale_factor: f64, mobile: bool });
command!(DisableScripts = "Emulation.setScriptExecutionDisabled" { value: bool });
command!(AccessibilityTree = "Accessibility.getFullAXTree" {});

#[derive(Debug, Serialize)]
struct Feature {
    name: &'static str,
    value: &'static str,
}

/// What the person at the screen prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Light,
    Dark,
    /// Light, and without motion.
    Calm,
}

/// A browser has a dozen processes: two of them at once would only wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Chromium, which ends with the test.
pub(crate) struct Browser {
    chromium: Chromium,
    _turn: MutexGuard<'static, ()>,
}

/// One tab.
pub(crate) struct Page {
    tab: Arc<Tab>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Browser {
    /// `None` where there is no Chromium, which is said.
    pub(crate) fn start() -> Option<Self> {
        let path = default_executable().unwrap_or_else(|_| "chromium".into());
        if !are_installed(&[&[path.to_str().expect("UTF-8"), "--version"]]) {
            return None;
        }
        // Whether the one before has failed is no matter here.
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let options = LaunchOptions {
            path: Some(path),
            // The pages are ours, and containers seldom let a sandbox be made.
            sandbox: false,
            window_size: Some((1280, 900)),
            idle_browser_timeout: 10 * PATIENCE,
            args: vec![
                OsStr::new("--disable-quic"),
                OsStr::new("--disable-component-update"),
            ],
            ..LaunchOptions::default()
        };
        Some(Self {
            chromium: Chromium::new(options).expect("Chromium starts"),
            _turn: turn,
        })
    }

    /// A tab that shows `url`.
    pub(crate) fn open(&self, url: &str, look: Look) -> Page {
        let page = self.blank(look);
        page.go(url);
        page
    }

    /// A tab without scripts.
    pub(crate) fn open_without_scripts(&self, url: &str) -> Page {
        let page = self.blank(Look::Light);
        page.call(DisableScripts { value: true });
        page.go(url);
        page
    }

    fn blank(&self, look: Look) -> Page {
        let tab = self.chromium.new_tab().expect("a tab");
        tab.set_default_timeout(PATIENCE);
        tab.enable_log().expect("Chromium answers");
        tab.enable_runtime().expect("Chromium answers");
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complaints);
        tab.add_event_listener(Arc::new(move |event: &Event| {
            let complaint = match event {
                Event::LogEntryAdded(entry) => format!("{:?}", entry.params.entry),
                Event::RuntimeExceptionThrown(thrown) => format!("{:?}", thrown.params),
                Event::RuntimeConsoleAPICalled(called) => format!("{:?}", called.params),
                _ => return,
            };
            heard.lock().expect("no panic").push(complaint);
        }))
        .expect("Chromium answers");
        let page = Page { tab, complaints };
        let (scheme, motion) = match look {
            Look::Light => ("light", "no-preference"),
            Look::Dark => ("dark", "no-preference"),
            Look::Calm => ("light", "reduce"),
        };
        page.call(SetMedia {
            features: vec![
                Feature {
                    name: "prefers-color-scheme",
                    value: scheme,
                },
                Feature {
                    name: "prefers-reduced-motion",
                    value: motion,
                },
            ],
        });
        page
    }
}

impl Page {
    fn call<M: Method<ReturnObject = Value> + Serialize>(&self, method: M) -> Value {
        self.tab.call_method(method).expect("Chromium answers")
    }

    pub(crate) fn go(&self, url: &str) {
        let tab = self.tab.navigate_to(url).expect("Chromium answers");
        tab.wait_until_navigated().expect("the page comes");
    }

    /// What an expression is in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let wrapped = format!("JSON.stringify({expression} ?? null)");
        let found = self
            .tab
            .evaluate(&wrapped, false)
            .expect("Chromium answers");
        let text = found
            .value
            .unwrap_or_else(|| panic!("{expression}: {:?}", found.description));
        serde_json::from_str(text.as_str().expect("a text")).expect("JSON")
    }

    /// Returns when an expression has become true in the page.
    pub(crate) fn wait_for(&self, expression: &str) {
        let patience_ms = PATIENCE.as_millis();
        let look = format!(
            "new Promise((found) => {{
                const until = performance.now() + {patience_ms};
                (function look() {{
                    let is = false;
                    try {{ is = {expression}; }} catch {{}}
                    if (is) found('yes');
                    else if (performance.now() > until) found(document.body.innerText);
                    else setTimeout(look, 20);
                }})();
            }})"
        );
        let found = self.tab.evaluate(&look, true).expect("Chromium answers");
        let found = found.value.unwrap_or_default();
        assert_eq!(
            found,
            "yes",
            "never came: {expression}; {:?}",
            self.complaints()
        );
    }

    /// Returns when the first element that `selector` finds has that text, and no other.
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        self.wait_for(&format!(
            "document.querySelector({selector:?}).textContent === {text:?}"
        ));
    }

    /// The text of the first element that `selector` finds.
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.value(&format!(
            "document.querySelector({selector:?})?.textContent"
        ));
        text.as_str()
            .unwrap_or_else(|| panic!("no {selector}"))
            .trim()
            .to_owned()
    }

    /// The page's source as it is, scripts or not.
    pub(crate) fn html(&self) -> String {
        self.tab.get_content().expect("Chromium answers")
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.tab.wait_for_element(selector).expect("it is there");
        element.click().expect("it can be clicked");
    }

    pub(crate) fn press(&self, key: &str) {
        self.tab.press_key(key).expect("a key");
    }

    pub(crate) fn write(&self, text: &str) {
        self.tab.send_character(text).expect("something takes text");
    }

    /// Goes from control to control by the keyboard until `selector` has the focus.
    pub(crate) fn tab_to(&self, selector: &str) {
        let has_focus = format!("document.activeElement.matches({selector:?})");
        for _ in 0..60 {
            if self.value(&has_focus) == true {
                return;
            }
            self.press("Tab");
        }
        panic!("the keyboard does not come to {selector}");
    }

    /// Roles and names of everything that can be used, as a screen reader gets them.
    pub(crate) fn controls(&self) -> Vec<(String, String)> {
        let tree = self.call(AccessibilityTree {});
        let nodes = tree["nodes"].as_array().expect("a list").iter();
        let used = [
            "button",
            "link",
            "checkbox",
            "combobox",
            "textbox",
            "DisclosureTriangle",
            "img",
            "image",
        ];
        let text =
            |node: &Value, what: &str| node[what]["value"].as_str().unwrap_or_default().to_owned();
        let controls = nodes.filter(|node| node["ignored"] != true);
        let controls = controls.map(|node| (text(node, "role"), text(node, "name")));
        controls
            .filter(|(role, _)| used.contains(&&**role))
            .collect()
    }

    /// A picture of the page, or of the upper part of it.
    pub(crate) fn picture(&self, name: &str, width: u32, height: u32) {
        self.call(SetSize {
            width,
            height,
            device_scale_factor: 1.0,
            mobile: false,
        });
        // Two frames later, what depends on the size has been drawn anew.
        let frames = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn())))";
        self.tab.evaluate(frames, true).expect("Chromium answers");
        let format = CaptureScreenshotFormatOption::Png;
        let picture = self
            .tab
            .capture_screenshot(format, None, None, true)
            .expect("a picture");
        assert!(
            picture.len() > 10_000,
            "{name} is nearly empty: {} bytes",
            picture.len()
        );
        if let Some(directory) = std::env::var_os("LOOPGATE_TEST_SCREENSHOTS") {
            let path = Path::new(&directory).join(format!("{name}.png"));
            std::fs::write(path, picture).expect("it can be written");
        }
    }

    fn complaints(&self) -> Vec<String> {
        self.complaints.lock().expect("no panic").clone()
    }

    /// Nothing is wrong as far as the browser knows.
    pub(crate) fn expect_no_complaints(&self) {
        assert_eq!(self.complaints(), Vec::<String>::new());
    }
}

/// Every control has a name.
pub(crate) fn expect_names(page: &Page, at_least: usize) {
    let controls = page.controls();
    assert!(controls.len() >= at_least, "{controls:#?}");
    let nameless: Vec<_> = controls
        .iter()
        .filter(|(_, name)| name.trim().is_empty())
        .collect();
    assert!(nameless.is_empty(), "{nameless:?} of {controls:#?}");
}
