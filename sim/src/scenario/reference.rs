//! The reference of all keys in `docs/SCENARIOS.md`, from the table of keys.

use super::keys::{Key, Kind, Role, Table, keys};
use crate::points;
use std::fmt::Write as _;

/// Where the reference begins and ends in the page.
pub const BEGIN: &str = "<!-- The reference from here on is printed by `cargo sim schema --reference`: change sim/src/scenario/keys.rs instead. -->\n";
pub const END: &str = "<!-- End of the reference. -->\n";

/// The reference as it stands in the page, without its marks.
pub fn reference() -> String {
    let mut page = String::new();
    let sections: [(&str, Table, &[Role]); 14] = [
        ("The file", Table::File, &[Role::Plain]),
        ("`[cluster]`", Table::Cluster, &[Role::Plain]),
        ("`cluster.disk`", Table::Disk, &[Role::Plain]),
        ("`cluster.clocks`, each", Table::Clock, &[Role::Plain]),
        ("`cluster.succession`", Table::Succession, &[Role::Plain]),
        ("`[chat]`", Table::Chat, &[Role::Plain]),
        ("`[workload]`", Table::Workload, &[Role::Plain]),
        ("`workload.joiner`", Table::Joiner, &[Role::Plain]),
        ("`[[fault]]`: when, exactly one of these (or `after` and `when` together)", Table::Fault, &[Role::Trigger]),
        ("`[[fault]]`: what, exactly one of these", Table::Fault, &[Role::Verb]),
        ("`[[fault]]`: what goes with them", Table::Fault, &[Role::Plain]),
        ("`[expect]`", Table::Expect, &[Role::Plain]),
        ("`expect.proof`", Table::Proof, &[Role::Plain]),
        ("Drawn values", Table::Drawn, &[Role::Plain]),
    ];
    for (title, table, roles) in sections {
        let _ = writeln!(page, "\n### {title}\n\n| key | value | default | meaning | example |\n|---|---|---|---|---|");
        keys().filter(|key| key.table == table && roles.contains(&key.role)).for_each(|key| row(&mut page, key));
    }
    let _ = writeln!(page, "\n### Points\n\nFor `when` and `reached`.\n\n| point | it is reached when |\n|---|---|");
    points::all().for_each(|(name, about)| _ = writeln!(page, "| `{name}` | {about} |"));
    page.push('\n');
    page
}

fn row(page: &mut String, key: &Key) {
    let default = match key.default {
        "" => String::new(),
        words if words.starts_with('(') => words.trim_matches(['(', ')']).to_owned(),
        value => format!("`{value}`"),
    };
    let example: Vec<String> = key.example.lines().map(|line| format!("`{line}`")).collect();
    let cells = [format!("`{}`", key.name), value(key.kind), default, key.about.to_owned(), example.join("<br>")];
    let _ = writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
}

/// A kind of value in words.
fn value(kind: Kind) -> String {
    let words = match kind {
        Kind::Words => "text",
        Kind::Flag => "`true` or `false`",
        Kind::Number(from, i64::MAX) => return format!("number, {from} or more"),
        Kind::Number(from, to) if from == to => return format!("{from}"),
        Kind::Number(from, to) => return format!("number, {from} to {to}"),
        Kind::Duration => "duration",
        Kind::Span => "duration or span",
        Kind::Rate => "rate",
        Kind::Percent => "percentage",
        Kind::Size => "size",
        Kind::OneOf(names) => return names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Target => "one target",
        Kind::Targets => "target or list of targets",
        Kind::Partition => "`\"halves\"`, `\"ring-of-majorities\"` or groups of targets",
        Kind::OneWay => "two groups of targets",
        Kind::Links => "table: link to duration or span",
        Kind::Offset => "duration or span, may be below 0",
        Kind::Drift => "ppm or percentage, may be below 0",
        Kind::Throughput => "bytes or messages a second",
        Kind::Clients => "clients",
        Kind::Clocks => "table: node to clock",
        Kind::Node => "node",
        Kind::Nodes => "list of nodes",
        Kind::Order => "list of numbers of nodes",
        Kind::Bounds(..) => "two numbers",
        Kind::Point => "point",
        Kind::Points => "list of points",
        Kind::In(_) => "table, see below",
        Kind::Each(_) => "tables, see below",
        Kind::Pick => "drawn table of keys",
        Kind::History => "`\"all\"`, `\"since-join\"`, `\"none\"` or `\"last N\"`",
        Kind::Range => "range in quotes, or list",
        Kind::Weights => "list of numbers",
    };
    words.to_owned()
}
