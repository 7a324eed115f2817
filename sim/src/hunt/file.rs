//! A scenario's file, as campaigns see it: a place, what stood there, and the scenario of each seed.

use crate::scenario::{Scenario, Template};
use crate::trace::digest;

/// One file, read once.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    /// As it was named.
    pub path: String,
    /// Of the text: two results that are to be merged must be about the same file.
    pub digest: u64,
    template: Template,
    /// The known bug that it is about.
    bug: Option<String>,
}

impl ScenarioFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, with its line.
    pub fn load(path: &str) -> Result<ScenarioFile, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: cannot be read: {error}"))?;
        let template = Template::parse(path, &text).map_err(|error| error.to_string())?;
        let bug = template.scenario(0).map_err(|error| error.to_string())?.bug;
        Ok(ScenarioFile { path: path.to_owned(), digest: digest(text.as_str()), template, bug })
    }

    /// What this seed plays.
    ///
    /// # Errors
    /// When what is drawn for it cannot be played, with the line.
    pub fn scenario(&self, seed: u64) -> Result<Scenario, String> {
        self.template.scenario(seed).map_err(|error| error.to_string())
    }

    /// The known bug that the file is about.
    pub fn bug(&self) -> Option<&str> {
        self.bug.as_deref()
    }

    /// The seed that the file names.
    pub fn seed(&self) -> Option<u64> {
        self.template.seed()
    }
}

/// All scenarios of a folder and of those in it, in order, `examples` aside: what stands there is supposed to fail.
///
/// # Errors
/// When the folder cannot be read, or holds none.
pub fn scenarios_in(folder: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    if found.is_empty() { Err(format!("{folder}: holds no scenario")) } else { Ok(found) }
}

fn collect(folder: &str, found: &mut Vec<String>) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("{folder}: cannot be read: {error}");
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{folder}/{name}");
        match entry.file_type().map_err(unreadable)?.is_dir() {
            true if name != "examples" => collect(&path, found)?,
            false if name.ends_with(".toml") => found.push(path),
            _ => {}
        }
    }
    Ok(())
}
