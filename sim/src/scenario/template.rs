//! A scenario's file before its seed is known: read once, and then a scenario for each seed.
//!
//! A file that leaves nothing to the seed is one scenario, whatever the seed. Of any other, values (`draws`) and whole faults are drawn: `chance` says
//! how often a fault is there at all, `copies` how many of it, `needs_voters` in how small a cluster it makes no sense; `pick` puts the keys of a drawn
//! table into it. A fault that waits for one that is not there is not there either. Everything that is
//! drawn goes through the same checks as what stands in the file, and before the first run both ends of every range, every value of every choice and
//! some seeds are tried, so that a range which reaches too far is refused with its line.

use super::draws::{Compiler, Dice, Drawing, Drawn, Entry, Key, Node};
use super::error::{ScenarioError, Source};
use super::{Scenario, units, validate};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use tertulia_protocol::dice::Seed;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// Seeds that are tried before the first run, beside the extremes.
const TRIED: u64 = 32;
/// What of a fault is settled here.
const OWN_KEYS: [&str; 5] = ["id", "chance", "copies", "pick", "needs_voters"];
const PICK: &str = "pick is one of several tables of keys: { draw = [{ crash = \"leader\" }, { pause = \"leader\" }] }";
/// The most copies of one fault.
const MOST_COPIES: u64 = 16;

/// A scenario for each seed.
#[derive(Clone, Debug)]
pub struct Template {
    file: String,
    text: String,
    /// Everything but the faults.
    tables: Vec<Entry>,
    faults: Vec<FaultTemplate>,
    /// When nothing is drawn.
    fixed: Option<Scenario>,
}

#[derive(Clone, Debug)]
struct FaultTemplate {
    id: String,
    at: Range<usize>,
    entries: Vec<Entry>,
    /// In millionths.
    chance: u32,
    copies: Option<Node>,
    copies_at: Range<usize>,
    pick: Option<(Range<usize>, Node)>,
    /// With fewer voters it is not there.
    needs_voters: u64,
}

impl Template {
    /// Reads and checks a file. `file` is for error messages.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Template, ScenarioError> {
        let source = Source { file, text };
        let tree = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
        let mut template =
            Template { file: file.to_owned(), text: text.to_owned(), tables: Vec::new(), faults: Vec::new(), fixed: None };
        template.compile(source, tree.get_ref())?;
        if template.is_drawn() {
            template.try_out()?;
        } else {
            template.fixed = Some(validate::validate(source, Deserializer::from(tree))?);
        }
        Ok(template)
    }

    /// Reads and checks a scenario's file.
    ///
    /// # Errors
    /// When it cannot be read, and as [`Template::parse`].
    pub fn load(path: &str) -> Result<Template, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError {
            file: path.to_owned(),
            line: 0,
            message: format!("cannot be read: {error}"),
        })?;
        Template::parse(path, &text)
    }

    /// The scenario of this seed.
    ///
    /// # Errors
    /// When what was drawn does not fit together in a way that was not met when the file was read.
    pub fn scenario(&self, seed: u64) -> Result<Scenario, ScenarioError> {
        match &self.fixed {
            Some(scenario) => Ok(scenario.clone()),
            None => self.play(Dice::Seed(Seed(seed)), None),
        }
    }

    /// The seed that the file names, if it leaves nothing else to the seed.
    pub fn seed(&self) -> Option<u64> {
        self.fixed.as_ref().and_then(|scenario| scenario.seed)
    }

    /// The one scenario of a file that leaves nothing to the seed.
    ///
    /// # Errors
    /// When it leaves something to it.
    pub fn fixed(self) -> Result<Scenario, ScenarioError> {
        self.fixed.ok_or_else(|| ScenarioError {
            file: self.file,
            line: 0,
            message: "is another scenario for every seed: say for which one".to_owned(),
        })
    }

    /// What is drawn for this seed, in the order of the file.
    ///
    /// # Errors
    /// As [`Template::scenario`].
    pub fn drawn(&self, seed: u64) -> Result<Vec<Drawn>, ScenarioError> {
        let mut told = Vec::new();
        if self.fixed.is_none() {
            self.play(Dice::Seed(Seed(seed)), Some(&mut told))?;
        }
        Ok(told)
    }

    fn source(&self) -> Source<'_> {
        Source { file: &self.file, text: &self.text }
    }

    fn is_drawn(&self) -> bool {
        let drawn = |fault: &FaultTemplate| {
            let given = fault.chance < 1_000_000 || fault.copies.is_some() || fault.pick.is_some() || fault.needs_voters > 0;
            given || fault.entries.iter().any(|(_, _, _, node)| node.is_drawn())
        };
        self.tables.iter().any(|(_, _, _, node)| node.is_drawn()) || self.faults.iter().any(drawn)
    }

    fn compile(&mut self, source: Source<'_>, tree: &DeTable<'_>) -> Result<(), ScenarioError> {
        for (key, value) in tree {
            let name = key.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Array(faults) if name == "fault" => {
                    for (nth, fault) in faults.iter().enumerate() {
                        let DeValue::Table(table) = fault.get_ref() else {
                            return Err(source.error(Some(fault.span()), "a fault is a table: write [[fault]]"));
                        };
                        self.faults.push(FaultTemplate::compile(source, nth, fault.span(), table)?);
                    }
                }
                _ => {
                    let compiler = Compiler { source, owner: name.to_owned() };
                    self.tables.push((name.to_owned(), key.span(), value.span(), compiler.node(value, "")?));
                }
            }
        }
        Ok(())
    }

    /// Tries what is worth a try before any run.
    fn try_out(&self) -> Result<(), ScenarioError> {
        let mut trials = Vec::new();
        self.tables.iter().for_each(|(_, _, _, node)| node.trials(&mut trials));
        for fault in &self.faults {
            fault.entries.iter().for_each(|(_, _, _, node)| node.trials(&mut trials));
            fault.pick.iter().for_each(|(_, node)| node.trials(&mut trials));
        }
        for most in [false, true] {
            self.play(Dice::Extreme(most), None).map_err(|error| note(error, ["least", "most"][usize::from(most)]))?;
        }
        for (key, drawn, path) in trials {
            self.play(Dice::One(key, drawn), None)
                .map_err(|error| ScenarioError { message: format!("{} (when {path} is drawn so)", error.message), ..error })?;
        }
        (0..TRIED).try_for_each(|seed| self.scenario(seed).map(|_| ()))
    }

    fn play(&self, dice: Dice, mut told: Option<&mut Vec<Drawn>>) -> Result<Scenario, ScenarioError> {
        let mut drawing = Drawing { dice, copy: 0, told: told.as_deref_mut() };
        let mut root = drawing.table(&self.tables);
        let voters = voters(&root);
        let mut faults: Vec<Spanned<DeValue<'_>>> = Vec::with_capacity(self.faults.len());
        let mut absent = BTreeSet::new();
        for fault in &self.faults {
            let fits = fault.needs_voters <= voters;
            let copies = if fits { fault.copies(self.source(), dice, told.as_deref_mut())? } else { 0 };
            if copies == 0 {
                absent.insert(fault.id.as_str());
            }
            for copy in 0..copies {
                let mut drawing = Drawing { dice, copy, told: told.as_deref_mut() };
                let mut table = drawing.table(&fault.entries);
                if let Some((at, pick)) = &fault.pick {
                    match drawing.value(pick) {
                        DeValue::Table(picked) => table.extend(picked),
                        _ => return Err(self.source().error(Some(at.clone()), PICK)),
                    }
                }
                let id =
                    if copy == 0 { Cow::Borrowed(fault.id.as_str()) } else { Cow::Owned(format!("{} #{}", fault.id, copy + 1)) };
                let place = fault.at.clone();
                table.insert(Spanned::new(place.clone(), Cow::Borrowed("id")), Spanned::new(place.clone(), DeValue::String(id)));
                faults.push(Spanned::new(place, DeValue::Table(table)));
            }
        }
        leave_out(&mut faults, absent, told);
        if !faults.is_empty() {
            let at = faults[0].span();
            let faults = DeValue::Array(faults.into_iter().collect());
            root.insert(Spanned::new(at.clone(), Cow::Borrowed("fault")), Spanned::new(at, faults));
        }
        let root = Spanned::new(0..self.text.len(), root);
        validate::validate(self.source(), Deserializer::from(root))
    }
}

/// Leaves out the faults that wait for one that is not there, as long as there are any.
fn leave_out<'a>(faults: &mut Vec<Spanned<DeValue<'a>>>, absent: BTreeSet<&'a str>, mut told: Option<&mut Vec<Drawn>>) {
    if absent.is_empty() {
        return;
    }
    let mut absent: BTreeSet<String> = absent.into_iter().map(str::to_owned).collect();
    loop {
        let waits = |fault: &Spanned<DeValue<'_>>| {
            let named = |key: &str| text(fault.get_ref(), key).is_some_and(|id| absent.contains(id));
            named("after") || named("during")
        };
        let Some(place) = faults.iter().position(waits) else { return };
        let fault = faults.remove(place).into_inner();
        let id = text(&fault, "id").unwrap_or_default().to_owned();
        if let Some(told) = &mut told {
            told.push(Drawn { what: format!("fault \"{id}\""), value: "not there: what it waits for is not".to_owned() });
        }
        absent.insert(id);
    }
}

fn text<'a>(table: &'a DeValue<'_>, key: &str) -> Option<&'a str> {
    let DeValue::Table(table) = table else { return None };
    table.iter().find(|(name, _)| name.get_ref() == key)?.1.get_ref().as_str()
}

/// With how many voters a cluster begins, as far as that can be read.
fn voters(root: &DeTable<'_>) -> u64 {
    let cluster = root.iter().find(|(key, _)| key.get_ref() == "cluster").and_then(|(_, cluster)| cluster.get_ref().as_table());
    let voters = cluster.and_then(|cluster| cluster.iter().find(|(key, _)| key.get_ref() == "voters"));
    voters.and_then(|(_, voters)| voters.get_ref().as_integer()?.as_str().parse().ok()).unwrap_or(3)
}

fn note(error: ScenarioError, how: &str) -> ScenarioError {
    ScenarioError { message: format!("{} (when all is drawn at its {how})", error.message), ..error }
}

impl FaultTemplate {
    fn compile(source: Source<'_>, nth: usize, at: Range<usize>, table: &DeTable<'_>) -> Result<FaultTemplate, ScenarioError> {
        let get = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
        let id = match get("id") {
            None => format!("fault {}", nth + 1),
            Some(id) => match id.get_ref().as_str() {
                Some(id) => id.to_owned(),
                None => return Err(source.error(Some(id.span()), "an id is a name in quotes, and is never drawn")),
            },
        };
        let chance = match get("chance") {
            None => 1_000_000,
            Some(chance) => {
                let read =
                    chance.get_ref().as_str().ok_or_else(|| "a chance is a percentage in quotes, such as \"30%\"".to_owned());
                read.and_then(units::percent).map_err(|message| source.error(Some(chance.span()), message))?
            }
        };
        let compiler = Compiler { source, owner: format!("fault {id}") };
        let copies = get("copies").map(|copies| compiler.node(copies, "copies")).transpose()?;
        let pick = get("pick").map(|pick| Ok((pick.span(), compiler.node(pick, "pick")?))).transpose()?;
        let needs_voters = match get("needs_voters") {
            None => 0,
            Some(voters) => {
                let number = voters.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
                let message = "needs_voters is a number from 1 to 15: with fewer voters the fault is left out";
                number.filter(|number| (1..=15).contains(number)).ok_or_else(|| source.error(Some(voters.span()), message))?
            }
        };
        let copies_at = get("copies").map_or(0..0, Spanned::span);
        let mut entries = compiler.entries(table, str::to_owned)?;
        entries.retain(|(name, ..)| !OWN_KEYS.contains(&name.as_str()));
        Ok(FaultTemplate { id, at, entries, chance, copies, copies_at, pick, needs_voters })
    }

    /// How many of it there are in a run.
    fn copies(&self, source: Source<'_>, dice: Dice, mut told: Option<&mut Vec<Drawn>>) -> Result<u64, ScenarioError> {
        let owner = format!("fault {}", self.id);
        if self.chance < 1_000_000 {
            let there = dice.chance(Key::new(&owner, "chance"), self.chance);
            if let Some(told) = &mut told {
                let value = if there { "there" } else { "not there" };
                told.push(Drawn { what: format!("fault \"{}\"", self.id), value: value.to_owned() });
            }
            if !there {
                return Ok(0);
            }
        }
        let Some(copies) = &self.copies else { return Ok(1) };
        let value = Drawing { dice, copy: 0, told }.value(copies);
        let number = value.as_integer().and_then(|number| number.as_str().parse::<u64>().ok());
        match number.filter(|copies| *copies <= MOST_COPIES) {
            Some(copies) if matches!(dice, Dice::Seed(_)) => Ok(copies),
            // Before any run the fault itself is tried.
            Some(copies) => Ok(copies.max(1)),
            None => {
                let message = format!("copies is a number from 0 to {MOST_COPIES}, or one that is drawn: {{ draw = \"0..3\" }}");
                Err(source.error(Some(self.copies_at.clone()), message))
            }
        }
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
