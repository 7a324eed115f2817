//! Whether a JSON value is what the description of the API says: as much of JSON Schema (2020-12) as that uses, and nothing that it does not know goes unnoticed.
//!
//! Stricter in one thing: a field that is described nowhere is a fault.

use serde_json::Value;
use std::collections::BTreeSet;

pub struct Description(pub Value);

impl Description {
    /// What is wrong with an answer to a request, if anything is. `kind`: its content type.
    pub fn fault(&self, method: &str, path: &str, status: u16, kind: &str, body: &Value) -> Option<String> {
        let Some((operation, named)) = self.operation(method, path) else { return Some("the route is not described".into()) };
        let Some(response) = operation["responses"].get(status.to_string()) else {
            return Some(format!("{method} {named}: the status {status} is not described: {body}"));
        };
        let shared = response["$ref"].as_str().and_then(|name| self.0.pointer(name.trim_start_matches('#')));
        let Some(schema) = shared.unwrap_or(response)["content"][kind].get("schema") else {
            return Some(format!("{method} {named} {status}: the content type {kind} is not described"));
        };
        self.check(schema, body, "").err().map(|fault| format!("{method} {named} {status}: {fault}"))
    }

    /// The operation whose path this is, and that path.
    pub fn operation(&self, method: &str, path: &str) -> Option<(&Value, &str)> {
        let path = path.split('?').next().unwrap_or_default();
        let is_it = |described: &str| {
            let (mut words, mut given) = (described.split('/'), path.split('/'));
            loop {
                match (words.next(), given.next()) {
                    (None, None) => return true,
                    (Some(word), Some(given)) if word == given || (word.starts_with('{') && !given.is_empty()) => {}
                    _ => return false,
                }
            }
        };
        let mut all = self.0["paths"].as_object()?.iter().filter(|(described, _)| is_it(described)).collect::<Vec<_>>();
        // A path without a parameter goes before one with it.
        all.sort_by_key(|(described, _)| described.matches('{').count());
        let (described, methods) = all.first()?;
        Some((methods.get(method.to_ascii_lowercase())?, described))
    }

    /// A value against a schema of its own.
    pub fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let mut known = BTreeSet::new();
        self.apply(schema, value, at, &mut known)?;
        let stray = value.as_object().into_iter().flatten().find(|(name, _)| !known.contains(*name));
        stray.map_or(Ok(()), |(name, field)| Err(format!("{at}/{name} is not described: {field}")))
    }

    /// Applies a schema where it stands; `known`: the fields that it describes.
    fn apply(&self, schema: &Value, value: &Value, at: &str, known: &mut BTreeSet<String>) -> Result<(), String> {
        let fault = |what: String| Err(format!("{at}: {value} is not {what}"));
        for (keyword, rule) in schema.as_object().ok_or_else(|| format!("{at}: no schema: {schema}"))? {
            match keyword.as_str() {
                "description" | "title" | "example" | "examples" | "default" | "deprecated" => {}
                "$ref" => {
                    let target = rule.as_str().and_then(|name| self.0.pointer(name.trim_start_matches('#')));
                    self.apply(target.ok_or_else(|| format!("{rule} is nowhere"))?, value, at, known)?;
                }
                "allOf" => {
                    for schema in rule.as_array().into_iter().flatten() {
                        self.apply(schema, value, at, known)?;
                    }
                }
                "oneOf" | "anyOf" => self.choose(rule, keyword == "oneOf", value, at, known)?,
                "type" if !is_of_type(rule, value) => return fault(format!("of the type {rule}")),
                "enum" if !rule.as_array().is_some_and(|all| all.contains(value)) => return fault(format!("one of {rule}")),
                "const" if rule != value => return fault(rule.to_string()),
                "minimum" if value.is_number() && value.as_f64() < rule.as_f64() => return fault(format!("at least {rule}")),
                "maximum" if value.is_number() && value.as_f64() > rule.as_f64() => return fault(format!("at most {rule}")),
                "format" if rule == "date-time" && !value.is_null() && !value.as_str().is_some_and(is_time) => {
                    return fault("a time".into());
                }
                "type" | "enum" | "const" | "minimum" | "maximum" | "format" => {}
                "properties" | "additionalProperties" | "propertyNames" | "required" | "items" => {
                    self.inside(schema, keyword, rule, value, at, known)?;
                }
                other => return Err(format!("{at}: the check does not know {other}")),
            }
        }
        Ok(())
    }

    fn inside(
        &self,
        schema: &Value,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
        known: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let fields = value.as_object().into_iter().flatten();
        match keyword {
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(field) = value.get(name) {
                        known.insert(name.clone());
                        self.check(schema, field, &format!("{at}/{name}"))?;
                    }
                }
            }
            "required" => {
                let mut all = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                if let Some(absent) = all.find(|name| value.is_object() && value.get(name).is_none()) {
                    return Err(format!("{at}/{absent} is not there"));
                }
            }
            "additionalProperties" if rule.is_object() => {
                for (name, field) in fields.filter(|(name, _)| schema["properties"].get(name).is_none()) {
                    known.insert(name.clone());
                    self.check(rule, field, &format!("{at}/{name}"))?;
                }
            }
            "items" => {
                for (nth, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(rule, item, &format!("{at}/{nth}"))?;
                }
            }
            // `false`: what is not described is a fault anyway. Names of fields are texts.
            _ => {}
        }
        Ok(())
    }

    fn choose(&self, rule: &Value, one: bool, value: &Value, at: &str, known: &mut BTreeSet<String>) -> Result<(), String> {
        let (mut fits, mut faults) = (0, Vec::new());
        for schema in rule.as_array().into_iter().flatten() {
            let mut fields = BTreeSet::new();
            match self.apply(schema, value, at, &mut fields) {
                Ok(()) => {
                    fits += 1;
                    known.extend(fields);
                }
                Err(fault) => faults.push(fault),
            }
        }
        match fits {
            0 => Err(format!("{at}: {value} fits none: {}", faults.join("; "))),
            1 => Ok(()),
            _ if one => Err(format!("{at}: {value} fits {fits} of which it should fit one")),
            _ => Ok(()),
        }
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the check does not know the type {other}"),
    };
    match rule {
        Value::String(name) => is(name),
        rule => rule.as_array().is_some_and(|all| all.iter().filter_map(Value::as_str).any(is)),
    }
}

/// `2026-01-02T03:04:05.678Z`
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000Z";
    let same = |(found, form): (&u8, &u8)| if *form == b'0' { found.is_ascii_digit() } else { found == form };
    text.len() == FORM.len() && text.as_bytes().iter().zip(FORM).all(same)
}
