//! A browser, driven over the DevTools protocol: as much of it as the tests need.
//!
//! One WebSocket to one browser; each window is a session on it, in a context of its own, as another person's browser would be.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// How long anything may take. Nothing here sleeps and hopes.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    calls: u64,
    /// What went wrong inside of pages.
    pub errors: Vec<String>,
    _profile: tempfile::TempDir,
}

/// A window: the session's id.
#[derive(Clone)]
pub struct Window(String);

/// The browser's binary, if one is installed: `$CHROMIUM`, or what is found on the path.
pub fn installed() -> Option<String> {
    let named = std::env::var("CHROMIUM").ok();
    let candidates = named.into_iter().chain(["chromium", "chromium-browser", "google-chrome"].map(String::from));
    let runs = |binary: &String| {
        let status = Command::new(binary).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(runs)
}

impl Browser {
    pub fn start(binary: &str) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary);
        // Only pages of this machine are opened, often by root, whom its sandbox refuses.
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]);
        command.args(["--no-first-run", "--remote-debugging-port=0", "--window-size=800,600"]);
        // What is behind another window must go on as what is seen.
        command.args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"]);
        command.args(["--disable-backgrounding-occluded-windows", "--font-render-hinting=none"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned));
        let address = address.expect("the browser has ended before it listened");
        // It must not stand still because nobody reads what it complains about.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (socket, _) = tungstenite::client(address.as_str(), stream).unwrap();
        Browser { child, socket, calls: 0, errors: Vec::new(), _profile: profile }
    }

    fn call(&mut self, window: Option<&Window>, method: &str, params: Value) -> Value {
        self.ask(window, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn ask(&mut self, window: Option<&Window>, method: &str, params: Value) -> Result<Value, Value> {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({"id": id, "method": method, "params": params});
        if let Some(Window(session)) = window {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let said: Value = serde_json::from_str(&text).unwrap();
            if said["method"] == "Runtime.exceptionThrown" {
                self.errors.push(said["params"]["exceptionDetails"].to_string());
            }
            if said["id"] == id {
                return said.get("error").map_or_else(|| Ok(said["result"].clone()), |error| Err(error.clone()));
            }
        }
    }

    /// A window of this size that reaches none of the `blocked` addresses, which may have asterisks.
    pub fn open(&mut self, url: &str, (width, height): (u32, u32), blocked: &[String]) -> Window {
        let context = self.call(None, "Target.createBrowserContext", json!({}))["browserContextId"].clone();
        let target = self.call(None, "Target.createTarget", json!({"url": "about:blank", "browserContextId": context}));
        let attached = self.call(None, "Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        let window = Window(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Network.enable"] {
            self.call(Some(&window), domain, json!({}));
        }
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": false});
        self.call(Some(&window), "Emulation.setDeviceMetricsOverride", size);
        // Each window is in front for whoever sits there.
        self.call(Some(&window), "Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        self.color_scheme(&window, "light");
        self.call(Some(&window), "Network.setBlockedURLs", json!({"urls": blocked}));
        self.navigate(&window, url);
        window
    }

    /// Goes to a page, in the session that the window has.
    pub fn navigate(&mut self, window: &Window, url: &str) {
        self.call(Some(window), "Page.navigate", json!({"url": url}));
    }

    pub fn color_scheme(&mut self, window: &Window, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call(Some(window), "Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, window: &Window, expression: &str) -> Value {
        self.try_value(window, expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_value(&mut self, window: &Window, expression: &str) -> Result<Value, Value> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answered = self.ask(Some(window), "Runtime.evaluate", asked)?;
        match answered.get("exceptionDetails") {
            Some(thrown) => Err(thrown.clone()),
            None => Ok(answered["result"]["value"].clone()),
        }
    }

    /// Waits until an expression holds. While the page is only coming it does not.
    pub fn until(&mut self, window: &Window, what: &str, expression: &str) {
        let mut found = Ok(Value::Null);
        for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
            found = self.try_value(window, &format!("Boolean({expression})"));
            if found.as_ref().is_ok_and(|value| *value == true) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        let shown = self.try_value(window, "document.body.innerText");
        panic!("waited {LIMIT:?} in vain: {what} ({found:?}). The page shows:\n{shown:?}");
    }

    /// Types into the field that this selector names, and presses Enter.
    pub fn write(&mut self, window: &Window, field: &str, text: &str) {
        self.until(window, field, &format!("document.querySelector('{field}:enabled')?.checkVisibility()"));
        self.value(window, &format!("document.querySelector('{field}').focus()"));
        self.call(Some(window), "Input.insertText", json!({"text": text}));
        for kind in ["keyDown", "keyUp"] {
            let mut key = json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13});
            if kind == "keyDown" {
                key["text"] = json!("\r");
            }
            self.call(Some(window), "Input.dispatchKeyEvent", key);
        }
    }

    /// What the window shows, as a PNG in base64.
    pub fn picture(&mut self, window: &Window) -> String {
        let shot = self.call(Some(window), "Page.captureScreenshot", json!({"format": "png"}));
        shot["data"].as_str().unwrap().to_owned()
    }

    /// A page without a server, drawn as large as it is.
    pub fn draw(&mut self, html: &str, width: u32) -> Vec<u8> {
        let window = self.open("about:blank", (width, 100), &[]);
        let frame = self.call(Some(&window), "Page.getFrameTree", json!({}))["frameTree"]["frame"]["id"].clone();
        self.call(Some(&window), "Page.setDocumentContent", json!({"frameId": frame, "html": html}));
        self.until(&window, "its pictures", "[...document.images].every((image) => image.complete && image.naturalWidth)");
        let height = self.value(&window, "document.documentElement.scrollHeight");
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call(Some(&window), "Emulation.setDeviceMetricsOverride", size);
        data_encoding::BASE64.decode(self.picture(&window).as_bytes()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
