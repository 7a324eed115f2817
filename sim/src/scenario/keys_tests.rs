//! The table of keys, the parser, the schema and the page say the same.

use super::super::draws::DRAWN_KEYS;
use super::super::error::unknown_field;
use super::super::json_schema::{self, ONLY_WITH};
use super::super::raw::*;
use super::super::{Scenario, Template, reference};
use super::*;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;

const FAULT_HEAD: &str = "[[fault]]\nid = \"the other one\"\nat = \"1s\"\nfor = \"2s\"\npause = \"n1\"\n[[fault]]\n";

/// The keys that a struct of the parser takes, from what it says about one that it does not.
fn taken<T: DeserializeOwned>() -> Vec<String> {
    let error = toml::from_str::<T>("no-such-key = 1").err().expect("refused");
    unknown_field(error.message()).expect("an unknown key").1
}

fn of(table: Table) -> Vec<&'static str> {
    keys().filter(|key| key.table == table).map(|key| key.name).collect()
}

#[test]
fn the_table_has_exactly_the_keys_that_the_parser_takes() {
    let same = |table: Table, mut parser: Vec<String>| {
        let mut known: Vec<String> = of(table).into_iter().map(str::to_owned).collect();
        known.sort();
        parser.sort();
        assert_eq!(known, parser, "{table:?}: in the table of keys, and in raw.rs");
    };
    same(Table::File, taken::<RawScenario>());
    same(Table::Cluster, taken::<RawCluster>());
    same(Table::Disk, taken::<RawDisk>());
    same(Table::Succession, taken::<RawSuccession>());
    same(Table::Chat, taken::<RawChat>());
    same(Table::Workload, taken::<RawWorkload>());
    same(Table::Joiner, taken::<RawJoiner>());
    same(Table::Fault, taken::<RawFault>());
    same(Table::Expect, taken::<RawExpect>());
    same(Table::Proof, taken::<RawProof>());
    same(Table::Drawn, DRAWN_KEYS.iter().map(|key| (*key).to_owned()).collect());
    let verbs: Vec<&str> = keys().filter(|key| key.role == Role::Verb).map(|key| key.name).collect();
    let told: Vec<&str> = VERBS.split([',', ' ']).filter(|word| !matches!(*word, "" | "or")).collect();
    assert_eq!(verbs, told, "verbs, and how the parser names them");
}

/// A whole file around lines of one table. A fault gets a trigger and a verb when it has none.
fn file(table: Table, lines: &str) -> String {
    let has = |role: Role| {
        let names = lines.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
        names.into_iter().any(|name| name == "pick" || keys().any(|key| key.role == role && key.name == name))
    };
    let mut parts =
        ["voters = 5\nspares = 2\n".to_owned(), "clients = 2\nrate = \"10/s\"\nstop = \"20s\"\n".to_owned(), String::new()];
    let without = |part: &str| {
        let kept = part.lines().filter(|line| !lines.lines().any(|given| given.split(" = ").next() == line.split(" = ").next()));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    match table {
        Table::File => {
            // A whole section takes the place of ours; a key comes first.
            let head =
                ["schema = 1\n", "name = \"x\"\n"].into_iter().filter(|line| line.split(' ').next() != lines.split(' ').next());
            let head: String = head.collect();
            let section =
                |name: &str, body: &str| if lines.starts_with(name) { String::new() } else { format!("{name}\n{body}") };
            let (top, tail) = if lines.starts_with('[') { ("", lines) } else { (lines, "") };
            return format!("{head}{top}\n{}{}{tail}\n", section("[cluster]", &parts[0]), section("[workload]", &parts[1]));
        }
        Table::Cluster => parts[0] = format!("{}{lines}\n", without(&parts[0])),
        Table::Disk => parts[0] += &format!("[cluster.disk]\n{lines}\n"),
        Table::Succession => parts[0] += &format!("[cluster.succession]\n{lines}\n"),
        Table::Chat => parts[2] = format!("[chat]\n{lines}\n"),
        Table::Workload => parts[1] = format!("{}{lines}\n", without(&parts[1])),
        Table::Joiner => parts[1] += &format!("[workload.joiner]\n{lines}\n"),
        Table::Fault => {
            let trigger = if has(Role::Trigger) && !lines.starts_with("pick") { "" } else { "at = \"2s\"\n" };
            let verb = if has(Role::Verb) { "" } else { "pause = \"leader\"\n" };
            parts[2] = format!("{FAULT_HEAD}{trigger}{verb}{lines}\n");
        }
        Table::Expect => parts[2] = format!("[expect]\n{lines}\n"),
        Table::Clock => parts[0] += &format!("[cluster.clocks.n1]\n{lines}\n"),
        Table::Proof => parts[2] = format!("[expect.proof]\n{lines}\n"),
        Table::Drawn => {
            parts[0] += &format!("[cluster.{}]\n{lines}\n", if lines.contains("span") { "disk.sync" } else { "detection" })
        }
    }
    format!("schema = 1\nname = \"x\"\n[cluster]\n{}[workload]\n{}{}", parts[0], parts[1], parts[2])
}

#[test]
fn every_example_is_accepted_by_the_parser_and_by_the_schema() {
    for key in keys() {
        assert!(!key.about.is_empty() && key.about.ends_with('.') && !key.example.is_empty(), "{}", key.name);
        assert!(key.example.contains(key.name), "{}: an example without it", key.name);
        // Of a list of weights only the shape is told here: `detection` takes no bare numbers.
        let example = if key.name == "weights" { "draw = [\"1s\", \"2s\", \"3s\"]\nweights = [1, 4, 2]" } else { key.example };
        let text = file(key.table, example);
        let template = Template::parse("example", &text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", key.name));
        template.scenario(7).unwrap_or_else(|error| panic!("{}: {error}", key.name));
        assert_eq!(objections(&text), Vec::<String>::new(), "{}\n{text}", key.name);
    }
}

#[test]
fn defaults_are_what_is_meant_without_the_key() {
    let with_needed = |key: &Key, lines: &str| match key.table {
        Table::Succession => file(key.table, &format!("policy = \"central\"\n{lines}")),
        Table::Joiner => file(key.table, &format!("at = \"9s\"\n{lines}")),
        Table::Fault if key.name == "disk" => file(key.table, &format!("crash = \"n1\"\n{lines}")),
        Table::Fault if key.name == "on" => file(key.table, &format!("loss = \"1%\"\n{lines}")),
        Table::Fault if key.name == "queue" => file(key.table, &format!("clog = \"9/s\"\n{lines}")),
        Table::Fault if key.name == "from" => file(key.table, &format!("every = \"1s\"\n{lines}")),
        Table::Fault if key.name == "wait" => file(key.table, &format!("after = \"the other one\"\n{lines}")),
        Table::Fault if key.name == "nth" => file(key.table, &format!("when = \"snapshot.begun\"\n{lines}")),
        // Our own file says how many: it goes without this time.
        Table::Cluster => file(key.table, lines).replace("voters = 5\n", "").replace("spares = 2\n", ""),
        _ => file(key.table, lines),
    };
    let read = |text: &str| -> Scenario {
        let template = Template::parse("x", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut scenario = template.scenario(1).expect("playable");
        scenario.faults.iter_mut().for_each(|fault| fault.line = 0);
        scenario
    };
    for key in keys().filter(|key| !key.default.is_empty() && !key.default.starts_with('(')) {
        let given = with_needed(key, &format!("{} = {}", key.name, key.default));
        assert_eq!(read(&given), read(&with_needed(key, "")), "{} = {}", key.name, key.default);
    }
}

#[test]
fn no_number_outside_its_bounds_is_taken() {
    for key in keys() {
        let Kind::Number(from, to) = key.kind else { continue };
        let line = key.example.lines().find(|line| line.starts_with(&format!("{} = ", key.name)));
        let Some(line) = line else { panic!("{}: its example does not set it on a line of its own", key.name) };
        let with = |value: i64| file(key.table, &key.example.replace(line, &format!("{} = {value}", key.name)));
        for outside in [from.checked_sub(1), to.checked_add(1)].into_iter().flatten() {
            let text = with(outside);
            assert!(Template::parse("x", &text).is_err(), "{} = {outside}", key.name);
            assert!(!objections(&text).is_empty(), "{} = {outside}", key.name);
        }
    }
}

#[test]
fn what_goes_only_with_another_key_is_refused_without_it() {
    for (name, others) in ONLY_WITH {
        let key = keys().find(|key| key.table == Table::Fault && key.name == name).expect("a key of a fault");
        let line = key.example.lines().find(|line| line.starts_with(name)).expect("its own line");
        let text = file(Table::Fault, line);
        let error = Template::parse("x", &text).expect_err(name).to_string();
        assert!(error.contains("goes only with"), "{error}");
        let named = error.rsplit("goes only with").next().unwrap_or_default();
        assert!(others.iter().any(|other| named.contains(other)), "{name}: {error}");
        assert!(!objections(&text).is_empty(), "{name}");
        // Whatever the parser names, the schema allows, and the other way round.
        let words = named.split([',', ' ', '`']).filter(|word| !word.is_empty()).filter(|word| *word != "or");
        words.for_each(|word| assert!(others.contains(&word), "{name} goes with `{word}` by the parser only"));
    }
}

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compares a file of the repository with what it should be; with `TERTULIA_WRITE=1` it is written instead.
fn is_current(path: &str, should: &str) {
    let path = in_repository(path);
    if std::env::var_os("TERTULIA_WRITE").is_some() {
        std::fs::write(&path, should).expect("written");
    }
    let is = std::fs::read_to_string(&path).expect("a file of the repository");
    assert!(is == should, "{} is not current: run this test with TERTULIA_WRITE=1", path.display());
}

#[test]
fn the_schema_in_the_repository_is_current() {
    is_current("scenarios/scenario.schema.json", &json_schema::json_schema_text());
}

#[test]
fn the_reference_in_the_documentation_is_current() {
    let page = std::fs::read_to_string(in_repository("docs/SCENARIOS.md")).expect("the page");
    let (before, rest) = page.split_once(reference::BEGIN).expect("where the reference begins");
    let (_, after) = rest.split_once(reference::END).expect("where it ends");
    is_current("docs/SCENARIOS.md", &format!("{before}{}{}{}{after}", reference::BEGIN, reference::reference(), reference::END));
}

#[test]
fn every_file_in_the_documentation_can_be_played() {
    let page = std::fs::read_to_string(in_repository("docs/SCENARIOS.md")).expect("the page");
    let files: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let whole = files.iter().filter(|text| text.contains("schema = 1"));
    assert!(whole.clone().count() >= 1);
    for text in whole {
        Template::parse("docs/SCENARIOS.md", text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(objections(text), Vec::<String>::new());
    }
}

#[test]
fn every_scenario_in_the_repository_is_valid_by_the_schema() {
    let mut seen = 0;
    for folder in ["scenarios", "scenarios/seeds"] {
        for file in std::fs::read_dir(in_repository(folder)).expect("a folder") {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|end| end == "toml") {
                seen += 1;
                let text = std::fs::read_to_string(&path).expect("a scenario");
                assert_eq!(objections(&text), Vec::<String>::new(), "{}", path.display());
            }
        }
    }
    assert!(seen >= 20, "{seen}");
}

#[test]
fn the_schema_objects_to_what_the_parser_refuses() {
    let wrong = [
        "crsh = \"leader\"",
        "crash = \"leadr\"",
        "crash = \"leader\"\nfor = \"5\"",
        "crash = \"leader\"\nloss = \"5%\"",
        "crash = \"leader\"\ndisk = \"thorn\"",
        "loss = \"5\"",
        "crash = { drw = \"1..2\" }",
        "crash = \"leader\"\nevery = \"1s\"\nat = \"2s\"",
        "fail = \"leader\"",
        "transfer = \"all\"",
    ];
    for lines in wrong {
        let text = file(Table::Fault, lines);
        assert!(Template::parse("x", &text).is_err() && !objections(&text).is_empty(), "{lines}");
    }
}

/// What the schema has against a file. Knows the words of JSON Schema that ours uses, and panics at any other.
fn objections(text: &str) -> Vec<String> {
    let instance: Value = match toml::from_str::<toml::Table>(text) {
        Ok(table) => serde_json::to_value(table).expect("a tree"),
        Err(error) => return vec![error.to_string()],
    };
    let schema = json_schema::json_schema();
    let mut found = Vec::new();
    check(&schema, &schema, &instance, "", &mut found);
    found
}

fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    check(root, schema, value, "", &mut found);
    found.is_empty()
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let mut wrong = |what: String| found.push(format!("{at}: {what}"));
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    for (word, rule) in schema.as_object().expect("a schema") {
        let fits = match (word.as_str(), value) {
            ("$schema" | "$defs" | "title" | "description" | "default", _) => true,
            ("$ref", _) => {
                let name = rule.as_str().and_then(|path| path.strip_prefix("#/$defs/")).expect("a reference to a definition");
                accepts(root, &root["$defs"][name], value)
            }
            ("type", _) => match rule.as_str() {
                Some("object") => value.is_object(),
                Some("array") => value.is_array(),
                Some("string") => value.is_string(),
                Some("boolean") => value.is_boolean(),
                Some("integer") => value.is_i64() || value.is_u64(),
                other => panic!("type {other:?}"),
            },
            ("enum", _) => list(rule).contains(value),
            ("anyOf", _) => list(rule).iter().any(|schema| accepts(root, schema, value)),
            ("oneOf", _) => list(rule).iter().filter(|schema| accepts(root, schema, value)).count() == 1,
            ("allOf", _) => list(rule).iter().all(|schema| accepts(root, schema, value)),
            ("required", Value::Object(table)) => list(rule).iter().all(|key| table.contains_key(key.as_str().expect("a key"))),
            ("properties", Value::Object(table)) => {
                let known = table.iter().filter_map(|(key, value)| Some((rule.get(key)?, value)));
                known.into_iter().all(|(schema, value)| accepts(root, schema, value))
            }
            ("additionalProperties", Value::Object(table)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = table.iter().filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                others.into_iter().all(|(_, value)| *rule != Value::Bool(false) && accepts(root, rule, value))
            }
            ("propertyNames", Value::Object(table)) => table.keys().all(|key| accepts(root, rule, &Value::from(key.as_str()))),
            ("dependentRequired", Value::Object(table)) => {
                let rules = rule.as_object().expect("rules").iter().filter(|(key, _)| table.contains_key(*key));
                rules
                    .into_iter()
                    .all(|(_, others)| list(others).iter().all(|key| table.contains_key(key.as_str().expect("a key"))))
            }
            ("dependentSchemas", Value::Object(table)) => {
                let mut rules = rule.as_object().expect("rules").iter().filter(|(key, _)| table.contains_key(*key));
                rules.all(|(_, schema)| accepts(root, schema, value))
            }
            ("items", Value::Array(values)) => values.iter().all(|value| accepts(root, rule, value)),
            ("minItems", Value::Array(values)) => values.len() as u64 >= rule.as_u64().expect("a number"),
            ("maxItems", Value::Array(values)) => values.len() as u64 <= rule.as_u64().expect("a number"),
            ("minimum", Value::Number(number)) => number.as_i64() >= rule.as_i64(),
            ("maximum", Value::Number(number)) => number.as_i64() <= rule.as_i64(),
            ("pattern", Value::String(text)) => {
                regex::Regex::new(rule.as_str().expect("a pattern")).expect("a pattern").is_match(text)
            }
            // Words that say nothing about values of another type.
            (
                "required" | "properties" | "additionalProperties" | "propertyNames" | "dependentRequired" | "dependentSchemas",
                _,
            )
            | ("items" | "minItems" | "maxItems" | "minimum" | "maximum" | "pattern", _) => true,
            (other, _) => panic!("the schema uses a word that is not known here: {other}"),
        };
        if !fits {
            wrong(format!("{word} {rule} does not fit {value}"));
        }
    }
}
