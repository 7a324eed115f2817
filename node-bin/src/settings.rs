//! Settings by their keys, as people write them: `rules.history=since-join`.

use serde_json::Value;
use tertulia_protocol::chat::Settings;

/// The settings with these changes.
///
/// # Errors
/// What is no setting, or no value for it, with the keys that there are.
pub fn changed(settings: &Settings, changes: &[(String, String)]) -> Result<Settings, String> {
    let mut all = serde_json::to_value(settings).map_err(|error| error.to_string())?;
    for (key, value) in changes {
        let mut place = &mut all;
        for part in key.split('.') {
            let known = place.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
            place =
                place.get_mut(part).ok_or_else(|| format!("there is no setting \"{key}\": in its place there are {known}"))?;
        }
        *place = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
        // One at a time, so that the error is about this one.
        let read: Result<Settings, _> = serde_json::from_value(all.clone());
        read.map_err(|error| format!("{key}={value}: {error}"))?;
    }
    serde_json::from_value(all).map_err(|error| error.to_string())
}

/// One line for each setting.
pub fn lines(settings: &Settings) -> Vec<String> {
    let mut lines = Vec::new();
    if let Ok(all) = serde_json::to_value(settings) {
        collect(&mut lines, "", &all);
    }
    lines
}

fn collect(lines: &mut Vec<String>, prefix: &str, value: &Value) {
    match value {
        // The history rule `last` is one value, not a table.
        Value::Object(object) if !object.contains_key("last") => {
            for (key, value) in object {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect(lines, &key, value);
            }
        }
        Value::String(text) => lines.push(format!("{prefix}={text}")),
        other => lines.push(format!("{prefix}={other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::chat::{History, SignIn};

    fn change(changes: &[(&str, &str)]) -> Result<Settings, String> {
        let changes: Vec<(String, String)> = changes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        changed(&Settings::default(), &changes)
    }

    #[test]
    fn a_setting_is_changed_by_its_key() {
        let settings = change(&[("sign_in", "accounts"), ("devices", "2"), ("rules.history", r#"{"last":100}"#)]).unwrap();
        assert_eq!((settings.sign_in, settings.devices, settings.rules.history), (SignIn::Accounts, 2, History::Last(100)));
        let shown = lines(&settings);
        assert!(shown.contains(&"sign_in=accounts".to_string()) && shown.contains(&r#"rules.history={"last":100}"#.to_string()));
        let again: Vec<(String, String)> =
            shown.iter().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect();
        assert_eq!(changed(&Settings::default(), &again).unwrap(), settings, "what is shown can be given back");
    }

    #[test]
    fn a_wrong_key_or_value_is_told_with_what_there_is() {
        assert!(change(&[("device", "2")]).unwrap_err().contains("devices"));
        assert!(change(&[("rules.histroy", "all")]).unwrap_err().contains("history"));
        assert!(change(&[("sign_in", "password")]).unwrap_err().contains("accounts"));
        assert!(change(&[("devices", "many")]).unwrap_err().starts_with("devices=many"));
    }
}
