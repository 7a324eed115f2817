//! Values that a file leaves to the seed, compiled once: `{ draw = … }` and `{ span = … }` anywhere in it.
//!
//! A draw is keyed by the place that it is for (a fault's id or a table, and the key in it) and by the copy of its fault, so that a key more or less
//! leaves all other draws of a seed as they were. Values that are drawn `with` a name have one draw together: each is at the same place of its own
//! range. What comes out is the file's tree again, as if the drawn values had stood there, each with the place of its draw for error messages.

use super::error::{ScenarioError, Source, suggest};
use super::units::{Unit, drawn_range};
use crate::trace::digest;
use std::borrow::Cow;
use std::ops::Range;
use tertulia_protocol::dice::{Purpose, Seed, below, draw, within};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most bare numbers in one range.
const MOST_NUMBERS: u64 = 10_000;
/// Keys of a drawn value.
pub(super) const DRAWN_KEYS: [&str; 4] = ["draw", "span", "weights", "with"];

type Place = Range<usize>;
pub(super) type Entry = (String, Place, Place, Node);

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A number, true or false: as it was written.
    Literal(String),
    Array(Vec<(Place, Node)>),
    Table(Vec<Entry>),
    Drawn(Box<Site>),
}

/// Where something is drawn.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub key: Key,
    /// For people: `cluster.voters`.
    pub path: String,
    what: What,
}

/// What a draw is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    who: u64,
    what: u64,
}

impl Key {
    pub fn new(owner: &str, path: &str) -> Key {
        Key { who: digest(owner), what: digest(path) }
    }
}

#[derive(Clone, Debug)]
enum What {
    /// All of them as they would be written.
    Whole {
        numbers: Vec<String>,
    },
    Number {
        unit: Unit,
        from: u64,
        to: u64,
    },
    /// Both ends are drawn.
    Span {
        unit: Unit,
        from: u64,
        to: u64,
        end: Key,
    },
    /// Each with how much weight there is up to it.
    Choice {
        of: Vec<(Place, Node, u64)>,
        total: u64,
    },
}

/// Where draws come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dice {
    Seed(Seed),
    /// All at their least, or at their most; and every fault is there.
    Extreme(bool),
    /// One at this draw, all others at their least; and every fault is there.
    One(Key, u64),
}

impl Dice {
    pub fn draw(self, key: Key, copy: u64) -> u64 {
        match self {
            Dice::Seed(seed) => draw(seed, Purpose::Swarm, key.who, key.what, copy),
            Dice::Extreme(most) => [0, u64::MAX][usize::from(most)],
            Dice::One(one, drawn) if one == key => drawn,
            Dice::One(..) => 0,
        }
    }

    /// Whether a fault with this chance is there.
    pub fn chance(self, key: Key, ppm: u32) -> bool {
        match self {
            Dice::Seed(_) => tertulia_protocol::dice::chance(self.draw(key, 0), ppm),
            Dice::Extreme(_) | Dice::One(..) => true,
        }
    }
}

/// One value that was drawn, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
    /// Such as `cluster.voters`, or `fault "split" for`.
    pub what: String,
    pub value: String,
}

/// Compiles a file's tree.
pub(super) struct Compiler<'a> {
    pub source: Source<'a>,
    /// What draws are keyed by: a table's name, or a fault's.
    pub owner: String,
}

impl Compiler<'_> {
    pub fn node(&self, value: &Spanned<DeValue<'_>>, path: &str) -> Result<Node, ScenarioError> {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value.get_ref() {
            DeValue::Table(table) if table.keys().any(|key| matches!(key.get_ref().as_ref(), "draw" | "span")) => {
                self.site(table, value.span(), path).map(|site| Node::Drawn(Box::new(site)))
            }
            DeValue::Table(table) => Ok(Node::Table(self.entries(table, below)?)),
            DeValue::Array(array) => {
                let element = |(nth, value): (usize, &Spanned<DeValue<'_>>)| {
                    Ok((value.span(), self.node(value, &below(&(nth + 1).to_string()))?))
                };
                Ok(Node::Array(array.iter().enumerate().map(element).collect::<Result<_, ScenarioError>>()?))
            }
            DeValue::String(text) => Ok(Node::Text(text.to_string())),
            _ => Ok(Node::Literal(self.source.text[value.span()].to_owned())),
        }
    }

    pub fn entries(&self, table: &DeTable<'_>, path: impl Fn(&str) -> String) -> Result<Vec<Entry>, ScenarioError> {
        let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let name = key.get_ref().as_ref();
            Ok((name.to_owned(), key.span(), value.span(), self.node(value, &path(name))?))
        };
        table.iter().map(entry).collect()
    }

    fn site(&self, table: &DeTable<'_>, at: Place, path: &str) -> Result<Site, ScenarioError> {
        let get = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
        if let Some((key, _)) = table.iter().find(|(key, _)| !DRAWN_KEYS.contains(&key.get_ref().as_ref())) {
            let near = suggest(key.get_ref(), DRAWN_KEYS.into_iter());
            return Err(self.source.error(Some(key.span()), format!("unknown key `{}` of a drawn value{near}", key.get_ref())));
        }
        let key = match get("with") {
            None => Key::new(&self.owner, path),
            Some(name) => match name.get_ref().as_str() {
                Some(name) => Key::new("with", name),
                None => return Err(self.source.error(Some(name.span()), "`with` is a name in quotes")),
            },
        };
        let range = |value: &Spanned<DeValue<'_>>| match value.get_ref().as_str() {
            Some(text) => drawn_range(text).map_err(|message| self.source.error(Some(value.span()), message)),
            None => Err(self.source.error(Some(value.span()), "write a range such as \"2ms..8ms\", or draw = [ … ] of values")),
        };
        let what = match (get("draw"), get("span")) {
            (Some(draw), None) => match draw.get_ref().as_array() {
                Some(_) => self.choice(draw, get("weights"), path)?,
                None => match range(draw)? {
                    (Unit::One, from, to) if to - from >= MOST_NUMBERS => {
                        let message =
                            format!("a range of bare numbers holds at most {MOST_NUMBERS}: draw from a list of some of them");
                        return Err(self.source.error(Some(draw.span()), message));
                    }
                    (Unit::One, from, to) => What::Whole { numbers: (from..=to).map(|number| number.to_string()).collect() },
                    (unit, from, to) => What::Number { unit, from, to },
                },
            },
            (None, Some(span)) => {
                let end = Key { what: key.what ^ digest("to"), ..key };
                range(span).map(|(unit, from, to)| What::Span { unit, from, to, end })?
            }
            _ => return Err(self.source.error(Some(at), "a drawn value has either `draw` or `span`")),
        };
        if let (Some(weights), What::Whole { .. } | What::Number { .. } | What::Span { .. }) = (get("weights"), &what) {
            return Err(self.source.error(Some(weights.span()), "`weights` goes only with draw = [ … ]"));
        }
        let path = if path.is_empty() { self.owner.clone() } else { format!("{}{path}", self.prefix()) };
        Ok(Site { key, path, what })
    }

    /// How a path of this owner begins, for people.
    fn prefix(&self) -> String {
        match self.owner.split_once(' ') {
            Some(("fault", id)) => format!("fault \"{id}\" "),
            _ => format!("{}.", self.owner),
        }
    }

    fn choice(
        &self,
        draw: &Spanned<DeValue<'_>>,
        weights: Option<&Spanned<DeValue<'_>>>,
        path: &str,
    ) -> Result<What, ScenarioError> {
        let values = draw.get_ref().as_array().map_or(&[][..], |array| array.as_ref());
        let weights = match weights {
            None => vec![1; values.len()],
            Some(given) => {
                let number = |weight: &Spanned<DeValue<'_>>| weight.get_ref().as_integer()?.as_str().parse().ok();
                let read: Option<Vec<u32>> = given.get_ref().as_array().and_then(|weights| weights.iter().map(number).collect());
                let fits = read.filter(|read| read.len() == values.len() && read.iter().all(|weight| *weight > 0));
                fits.ok_or_else(|| {
                    let message =
                        format!("weights are as many numbers as there are values, here {}, none of them 0", values.len());
                    self.source.error(Some(given.span()), message)
                })?
            }
        };
        if values.is_empty() {
            return Err(self.source.error(Some(draw.span()), "there is nothing to draw from"));
        }
        let mut total = 0;
        let mut of = Vec::with_capacity(values.len());
        for (nth, (value, weight)) in values.iter().zip(weights).enumerate() {
            total += u64::from(weight);
            of.push((value.span(), self.node(value, &format!("{path}#{}", nth + 1))?, total));
        }
        Ok(What::Choice { of, total })
    }
}

/// One way to play a file's tree.
pub(super) struct Drawing<'t> {
    pub dice: Dice,
    /// Which copy of its fault.
    pub copy: u64,
    /// What was drawn, if anybody wants to know.
    pub told: Option<&'t mut Vec<Drawn>>,
}

impl Drawing<'_> {
    pub fn value<'a>(&mut self, node: &'a Node) -> DeValue<'a> {
        match node {
            Node::Text(text) => DeValue::String(Cow::Borrowed(text)),
            Node::Literal(text) => literal(text),
            Node::Array(values) => {
                DeValue::Array(values.iter().map(|(at, node)| Spanned::new(at.clone(), self.value(node))).collect())
            }
            Node::Table(entries) => DeValue::Table(self.table(entries)),
            Node::Drawn(site) => self.site(site),
        }
    }

    pub fn table<'a>(&mut self, entries: &'a [Entry]) -> DeTable<'a> {
        let entry = |(name, key, at, node): &'a Entry| {
            let value = self.value(node);
            // Drawn as `false`: not there at all.
            let there = !matches!((node, &value), (Node::Drawn(_), DeValue::Boolean(false)));
            there.then(|| (Spanned::new(key.clone(), Cow::Borrowed(name.as_str())), Spanned::new(at.clone(), value)))
        };
        entries.iter().filter_map(entry).collect()
    }

    fn site<'a>(&mut self, site: &'a Site) -> DeValue<'a> {
        let drawn = self.dice.draw(site.key, self.copy);
        let (value, told) = match &site.what {
            What::Whole { numbers } => {
                let number = &numbers[below(drawn, numbers.len() as u64) as usize];
                (literal(number), number.clone())
            }
            What::Number { unit, from, to } => {
                let text = unit.write(within(drawn, *from, *to));
                (DeValue::String(Cow::Owned(text.clone())), text)
            }
            What::Span { unit, from, to, end } => {
                let (a, b) = (within(drawn, *from, *to), within(self.dice.draw(*end, self.copy), *from, *to));
                let text = format!("{}..{}", unit.write(a.min(b)), unit.write(a.max(b)));
                (DeValue::String(Cow::Owned(text.clone())), text)
            }
            What::Choice { of, total } => {
                let place = below(drawn, *total);
                let chosen = of.iter().find(|(_, _, up_to)| place < *up_to).unwrap_or(&of[of.len() - 1]);
                let nested = matches!(chosen.1, Node::Drawn(_));
                let value = self.value(&chosen.1);
                if nested {
                    return value;
                }
                let told = if self.told.is_some() { tell(&value) } else { String::new() };
                (value, told)
            }
        };
        if let Some(list) = &mut self.told {
            list.push(Drawn { what: site.path.clone(), value: told });
        }
        value
    }
}

impl Node {
    /// All places where something is drawn, with the draws that are worth a look before any run: each value of a choice, both ends of a range.
    pub fn trials(&self, trials: &mut Vec<(Key, u64, String)>) {
        match self {
            Node::Text(_) | Node::Literal(_) => {}
            Node::Array(values) => values.iter().for_each(|(_, node)| node.trials(trials)),
            Node::Table(entries) => entries.iter().for_each(|(_, _, _, node)| node.trials(trials)),
            Node::Drawn(site) => match &site.what {
                What::Whole { .. } | What::Number { .. } => trials.push((site.key, u64::MAX, site.path.clone())),
                What::Span { end, .. } => {
                    trials.push((site.key, u64::MAX, site.path.clone()));
                    trials.push((*end, u64::MAX, site.path.clone()));
                }
                What::Choice { of, total } => {
                    for (nth, (_, node, up_to)) in of.iter().enumerate() {
                        let before = if nth == 0 { 0 } else { of[nth - 1].2 };
                        // The draw in the middle of this value's share.
                        let middle = (u128::from(before + up_to) << 63) / u128::from(*total);
                        trials.push((site.key, middle as u64, site.path.clone()));
                        node.trials(trials);
                    }
                }
            },
        }
    }

    /// Whether anything is drawn in here.
    pub fn is_drawn(&self) -> bool {
        let mut trials = Vec::new();
        self.trials(&mut trials);
        !trials.is_empty()
    }
}

/// A number, true or false, from how it was written.
fn literal(text: &str) -> DeValue<'_> {
    DeValue::parse(text).map_or(DeValue::String(Cow::Borrowed(text)), Spanned::into_inner)
}

/// A value as a file would say it.
fn tell(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| tell(value.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", key.get_ref(), tell(value.get_ref()))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(so) => if *so { "true" } else { "not given" }.to_owned(),
        DeValue::Float(_) | DeValue::Datetime(_) => "?".to_owned(),
    }
}
