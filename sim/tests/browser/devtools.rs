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
const LIMIT: Duration = Duration::from_secs(60);
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
    pub fn open(&mut self, url: &str, size: (u32, u32), blocked: &[String]) -> Window {
        let context = self.call(None, "Target.createBrowserContext", json!({}))["browserContextId"].clone();
        self.open_in(&context, url, size, blocked)
    }

    /// Another window of the same person's browser.
    pub fn open_beside(&mut self, window: &Window, url: &str, size: (u32, u32)) -> Window {
        let context = self.context(window);
        self.open_in(&context, url, size, &[])
    }

    fn context(&mut self, window: &Window) -> Value {
        self.call(Some(window), "Target.getTargetInfo", json!({}))["targetInfo"]["browserContextId"].clone()
    }

    fn open_in(&mut self, context: &Value, url: &str, (width, height): (u32, u32), blocked: &[String]) -> Window {
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
        // The browser blocks requests by this, and no WebSockets: those are sent where nobody listens.
        let hosts: Vec<&str> = blocked.iter().map(|url| url.trim_matches(['*', ':', '/'])).collect();
        let source = format!(
            "{{ const blocked = {}; const Real = WebSocket; window.WebSocket = class extends Real {{ constructor(url) {{ \
             super(blocked.includes(new URL(url).host) ? 'ws://127.0.0.1:1/' : url); }} }}; }}",
            json!(hosts)
        );
        self.call(Some(&window), "Page.addScriptToEvaluateOnNewDocument", json!({"source": source}));
        self.navigate(&window, url);
        window
    }

    /// Goes to a page, in the session that the window has.
    pub fn navigate(&mut self, window: &Window, url: &str) {
        self.call(Some(window), "Page.navigate", json!({"url": url}));
    }

    /// The page of this origin may show notifications, as if somebody had said so.
    pub fn allow_notifications(&mut self, window: &Window, origin: &str) {
        let context = self.context(window);
        let allowed = json!({"permissions": ["notifications"], "origin": origin, "browserContextId": context});
        self.call(None, "Browser.grantPermissions", allowed);
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

    /// Waits until an expression holds, or what it promises. While the page is only coming it does not.
    pub fn until(&mut self, window: &Window, what: &str, expression: &str) {
        let mut found = Ok(Value::Null);
        for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
            found = self.try_value(window, &format!("Promise.resolve(({expression})).then(Boolean)"));
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

    /// Presses a key as a person does, by its name in `KeyboardEvent.key`, with modifiers before it: `Control+k`, `Shift+F6`, `Enter`.
    pub fn press(&mut self, window: &Window, chord: &str) {
        let mut parts: Vec<&str> = chord.split('+').collect();
        let key = parts.pop().filter(|key| !key.is_empty()).unwrap_or("+");
        let bit = |name: &&str| match *name {
            "Alt" => 1,
            "Control" => 2,
            "Meta" => 4,
            "Shift" => 8,
            other => panic!("{other} is no modifier"),
        };
        let modifiers: u32 = parts.iter().filter(|part| !part.is_empty()).map(bit).sum();
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "F6" => 117,
            "Delete" => 46,
            "Home" => 36,
            "End" => 35,
            one => u32::from(one.to_ascii_uppercase().as_bytes()[0]),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers});
            let text = match key {
                "Enter" => Some("\r"),
                one if one.chars().count() == 1 && modifiers & 7 == 0 => Some(one),
                _ => None,
            };
            if let Some(text) = text.filter(|_| kind == "keyDown") {
                event["text"] = json!(text);
            }
            self.call(Some(window), "Input.dispatchKeyEvent", event);
        }
    }

    /// Types where the focus is.
    pub fn insert(&mut self, window: &Window, text: &str) {
        self.call(Some(window), "Input.insertText", json!({"text": text}));
    }

    /// Clicks the middle of what this expression names, once it is there.
    pub fn click(&mut self, window: &Window, element: &str) {
        self.until(window, element, &format!("({element})?.checkVisibility()"));
        let place = format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{block: 'nearest'}}); const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let place = self.value(window, &place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call(Some(window), "Input.dispatchMouseEvent", event);
        }
    }

    /// Another size of the window, as of a telephone: with touch, and two pixels for one.
    pub fn resize(&mut self, window: &Window, (width, height): (u32, u32)) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": false});
        self.call(Some(window), "Emulation.setDeviceMetricsOverride", size);
    }

    /// Whether the window has a network at all.
    pub fn offline(&mut self, window: &Window, offline: bool) {
        let conditions = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.call(Some(window), "Network.emulateNetworkConditions", conditions);
    }

    /// What axe-core (its source) finds serious or critical in what the window shows: rule and place.
    pub fn axe(&mut self, window: &Window, source: &str) -> Vec<String> {
        self.value(window, &format!("{source}; true"));
        let found = self.value(
            window,
            "axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations.filter(({impact}) => \
             ['serious', 'critical'].includes(impact)).map(({id, nodes}) => `${id}: ${nodes.map((n) => n.html.slice(0, 160) + ' ' + \
             (n.any[0]?.message ?? '')).join(' | ')}`))",
        );
        found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
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
