//! The README's picture: two windows while their sides are apart, and when they are together again.

use super::devtools::Browser;
use std::path::Path;

const WIDTH: u32 = 1_000;

/// `apart`, `together`: each Ana's window and Ben's, as PNGs in base64.
pub fn keep(browser: &mut Browser, folder: &str, apart: &[String; 2], together: &[String; 2]) {
    let png = browser.draw(&page(apart, together), WIDTH);
    std::fs::write(Path::new(folder).join("partition.png"), png).unwrap();
}

fn page(apart: &[String; 2], together: &[String; 2]) -> String {
    let node = |number: usize, side: &str| format!("<b class='{side}'>{number}</b>");
    let (small, large): (String, String) =
        ((1..=2).map(|number| node(number, "small")).collect(), (3..=5).map(|number| node(number, "large")).collect());
    let all: String = (1..=5).map(|number| node(number, "large")).collect();
    let window = |picture: &str| format!("<img src='data:image/png;base64,{picture}'>");
    let row = |windows: &[String; 2]| format!("<div class=row>{}{}</div>", window(&windows[0]), window(&windows[1]));
    format!(
        "<!doctype html><meta charset=utf-8><style>{STYLE}</style>
        <h2><span>Cut: both sides go on talking</span><span class=nodes>{small}<i></i>{large}</span></h2>{}
        <h2><span>Healed: one order on every screen</span><span class=nodes>{all}</span></h2>{}",
        row(apart),
        row(together)
    )
}

const STYLE: &str = "
    body { margin: 0; padding: 6px 20px 20px; background: #fff; font: 15px system-ui, sans-serif; color: #23261f; }
    h2 { font-size: 17px; font-weight: 600; margin: 14px 2px 10px; display: flex; align-items: center; justify-content: space-between; }
    .nodes { display: flex; gap: 6px; align-items: center; font-size: 12px; }
    b { width: 22px; height: 22px; line-height: 22px; border-radius: 50%; text-align: center; color: #fff; background: #2f6f5e; }
    b.small { background: #c08a2d; }
    i { width: 0; height: 26px; border-left: 2px dashed #a3312b; margin: 0 6px; }
    .row { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; }
    img { width: 100%; display: block; border: 1px solid #dddcd3; border-radius: 8px; }";
