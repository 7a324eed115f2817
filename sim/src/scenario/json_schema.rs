//! The JSON Schema (draft 2020-12) of scenario files, from the table of keys: editors complete and check a file by it while it is written.
//!
//! It knows keys, kinds of values with their units, exactly one verb and one trigger a fault, and which key goes with which. What depends on other values
//! (whether there is an `n5`) only the parser knows.

use super::keys::{Key, Kind, Role, Table, keys};
use crate::points;
use serde_json::{Map, Value, json};

/// Keys of a fault that go only with one of these others.
pub(super) const ONLY_WITH: [(&str, &[&str]); 12] = [
    ("from", &["every"]),
    ("until", &["every"]),
    ("during", &["every"]),
    ("wait", &["after", "when"]),
    ("nth", &["when"]),
    ("disk", &["crash"]),
    ("rot", &["crash"]),
    ("restart", &["full", "fail", "misread"]),
    ("on", &["loss", "delay", "duplicate", "slow-disk", "skew", "drift", "jump", "reorder", "clog", "cut-clients"]),
    ("by", &["reorder"]),
    ("queue", &["clog"]),
    ("rate", &["slow-reader"]),
];

/// Keys that a file needs, by table.
const NEEDED: [(Table, &[&str]); 4] = [
    (Table::File, &["schema", "name", "cluster", "workload"]),
    (Table::Succession, &["policy"]),
    (Table::Workload, &["clients", "rate", "stop"]),
    (Table::Joiner, &["at"]),
];

/// Keys whose values are never drawn.
const NEVER_DRAWN: [&str; 4] = ["id", "chance", "needs_voters", "optional"];

const NUMBER: &str = r"[0-9]+(\.[0-9]{1,9})?";

/// The whole schema.
pub fn json_schema() -> Value {
    let mut schema = table(Table::File);
    let tables = [
        Table::Cluster,
        Table::Disk,
        Table::Clock,
        Table::Succession,
        Table::Chat,
        Table::Workload,
        Table::Joiner,
        Table::Fault,
        Table::Expect,
        Table::Proof,
        Table::Drawn,
    ];
    let mut defs: Map<String, Value> = tables.into_iter().map(|of| (name(of).to_owned(), table(of))).collect();
    defs.insert("keysOfAFault".to_owned(), object(Table::Fault));
    schema["$defs"] = Value::Object(defs);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A scenario of Tertulia's simulator");
    schema["description"] = json!("A cluster, a workload, faults, and what must come of it. See docs/SCENARIOS.md.");
    schema
}

/// The schema as it is printed and kept in `scenarios/scenario.schema.json`.
pub fn json_schema_text() -> String {
    format!("{:#}\n", json_schema())
}

fn name(table: Table) -> &'static str {
    match table {
        Table::File => "file",
        Table::Cluster => "cluster",
        Table::Disk => "disk",
        Table::Clock => "clock",
        Table::Succession => "succession",
        Table::Chat => "chat",
        Table::Workload => "workload",
        Table::Joiner => "joiner",
        Table::Fault => "fault",
        Table::Expect => "expect",
        Table::Proof => "proof",
        Table::Drawn => "drawn",
    }
}

fn reference(table: Table) -> Value {
    json!({ "$ref": format!("#/$defs/{}", name(table)) })
}

/// A table with the rules among its keys.
fn table(of: Table) -> Value {
    let mut schema = object(of);
    if let Some((_, needed)) = NEEDED.iter().find(|(table, _)| *table == of) {
        schema["required"] = json!(needed);
    }
    match of {
        Table::Fault => schema["anyOf"] = json!([{ "required": ["pick"] }, whole_fault()]),
        Table::Drawn => {
            schema["oneOf"] = json!([{ "required": ["draw"] }, { "required": ["span"] }]);
            schema["dependentRequired"] = json!({ "weights": ["draw"] });
        }
        _ => {}
    }
    schema
}

/// A table's keys, each as its kind says.
fn object(of: Table) -> Value {
    let here = keys().filter(|key| key.table == of);
    let properties: Map<String, Value> = here.map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(key: &Key) -> Value {
    let plain = kind(key.kind);
    let drawable = !matches!(key.table, Table::File | Table::Drawn) && !NEVER_DRAWN.contains(&key.name);
    let mut schema = match key.kind {
        Kind::Pick => plain,
        _ if drawable => or_drawn(plain),
        _ => plain,
    };
    schema["description"] = json!(match key.default {
        "" => key.about.to_owned(),
        default => format!("{} Default: {default}.", key.about),
    });
    schema
}

/// What a fault without `pick` has to have.
fn whole_fault() -> Value {
    let required = |role: Role| keys().filter(move |key| key.role == role).map(|key| json!({ "required": [key.name] }));
    let verbs: Vec<Value> = required(Role::Verb).collect();
    let triggers = json!([
        { "required": ["at"] },
        { "required": ["every"] },
        { "anyOf": [{ "required": ["after"] }, { "required": ["when"] }] },
    ]);
    let with = ONLY_WITH.iter().map(|(key, others)| {
        let others: Vec<Value> = others.iter().map(|other| json!({ "required": [other] })).collect();
        ((*key).to_owned(), json!({ "anyOf": others }))
    });
    let restart = ["full", "fail", "misread"].map(|verb| (verb.to_owned(), json!({ "required": ["restart"] })));
    let by = std::iter::once(("reorder".to_owned(), json!({ "required": ["by"] })));
    let dependent: Map<String, Value> = with.chain(restart).chain(by).collect();
    json!({ "oneOf": verbs, "allOf": [{ "oneOf": triggers }], "dependentSchemas": dependent })
}

fn or_drawn(plain: Value) -> Value {
    json!({ "anyOf": [plain, reference(Table::Drawn)] })
}

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{pattern}$") })
}

fn number(from: i64, to: i64) -> Value {
    match to {
        i64::MAX => json!({ "type": "integer", "minimum": from }),
        to => json!({ "type": "integer", "minimum": from, "maximum": to }),
    }
}

/// A number that may be below 0, with a unit, or two of them.
fn signed(unit: &str) -> String {
    let one = format!(r" *[-+]? *{NUMBER} *{unit} *");
    format!(r"{one}(\.\.{one})?")
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": of })
}

fn point() -> Value {
    json!({ "enum": points::all().map(|(name, _)| name).collect::<Vec<_>>() })
}

/// What a value of this kind looks like when it is not drawn.
fn kind(kind: Kind) -> Value {
    let duration = format!(r" *{NUMBER} *(us|ms|s|m) *");
    let span = format!(r"{duration}(\.\.{duration})?");
    let one = r"leader|follower|successor(\([0-9]+\))?|random|n[0-9]+";
    let target = || text(&format!("({one}|minority|majority|all|rest)"));
    let targets = || json!({ "anyOf": [target(), list(or_drawn(target()))] });
    let group = || or_drawn(list(or_drawn(target())));
    match kind {
        Kind::Words => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(from, to) => number(from, to),
        Kind::Duration => text(duration.trim_start_matches(r" *").trim_end_matches(r" *")),
        Kind::Span => text(&span),
        Kind::Rate => text(&format!(r"{NUMBER} */ *(s|m) *")),
        Kind::Percent => text(&format!(r"{NUMBER} *%")),
        Kind::Size => text(r"[0-9]+ *(B|KiB|MiB)"),
        Kind::OneOf(names) => json!({ "enum": names }),
        Kind::Target => text(&format!("({one})")),
        Kind::Targets => targets(),
        Kind::Partition => json!({ "anyOf": [
            { "enum": ["halves", "ring-of-majorities"] },
            { "type": "array", "minItems": 2, "items": group() },
        ] }),
        Kind::OneWay => json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": or_drawn(targets()) }),
        Kind::Links => json!({
            "type": "object",
            "propertyNames": text(r"(default| *n?[0-9]+ *-> *n?[0-9]+ *)"),
            "additionalProperties": or_drawn(text(&span)),
        }),
        Kind::Offset => text(&signed(r"(us|ms|s|m)")),
        Kind::Drift => text(&signed(r"(ppm|%)")),
        Kind::Throughput => text(r"[0-9]+ *(B|KiB|MiB)?/s"),
        Kind::Clients => json!({ "anyOf": [
            number(1, i64::MAX),
            list(number(1, i64::MAX)),
            text(&format!("(all|{NUMBER} *%|[0-9]+ drawn|at ({one}|minority|majority|all))")),
        ] }),
        Kind::Clocks => json!({
            "type": "object",
            "propertyNames": text(r"(default|n[0-9]+)"),
            "additionalProperties": reference(Table::Clock),
        }),
        Kind::Node => text("n[0-9]+"),
        Kind::Nodes => json!({ "type": "array", "items": text("n[0-9]+") }),
        Kind::Order => list(number(1, 15)),
        Kind::Bounds(from, to) => {
            json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": or_drawn(number(from, to)) })
        }
        Kind::Point => point(),
        Kind::Points => json!({ "type": "array", "items": point() }),
        Kind::In(table) => reference(table),
        Kind::Each(table) => json!({ "type": "array", "items": reference(table) }),
        Kind::Pick => {
            let mut drawn = object(Table::Drawn);
            drawn["properties"]["draw"] = list(json!({ "$ref": "#/$defs/keysOfAFault" }));
            drawn["required"] = json!(["draw"]);
            drawn
        }
        Kind::History => text("(all|since-join|none|last [0-9]+)"),
        Kind::Range => json!({ "anyOf": [{ "type": "string", "pattern": r"\.\." }, { "type": "array", "minItems": 1 }] }),
        Kind::Weights => list(number(1, i64::from(u32::MAX))),
    }
}
