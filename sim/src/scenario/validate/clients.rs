//! Which clients a fault hits: all, some by number, drawn ones, or whoever is connected to a node.

use super::faults::Faults;
use super::*;

const SHAPES: &str = "clients are \"all\", a number or a list of them such as [1, 4], \"25%\" or \"3 drawn\" of all, or \"at leader\" for those that are connected there";

impl Faults<'_> {
    pub(super) fn clients(&self, value: &Any) -> Checked<Clients> {
        let Some(value) = value else { return Ok(Clients::All) };
        let at = value.span();
        match value.get_ref() {
            Value::String(name) => self.named_clients(name.trim(), at),
            Value::Integer(number) => Ok(Clients::Numbers(vec![self.client(*number, at)?])),
            Value::Array(numbers) if !numbers.is_empty() && numbers.iter().all(Value::is_integer) => {
                let numbers = numbers.iter().filter_map(Value::as_integer);
                let mut clients = numbers.map(|number| self.client(number, at.clone())).collect::<Checked<Vec<u32>>>()?;
                clients.sort_unstable();
                clients.dedup();
                Ok(Clients::Numbers(clients))
            }
            _ => Err(self.source.error(Some(at), SHAPES)),
        }
    }

    fn named_clients(&self, name: &str, at: Range<usize>) -> Checked<Clients> {
        if let Some(node) = name.strip_prefix("at ") {
            return Ok(Clients::At(self.targets(&Value::String(node.trim().to_owned()), at, false)?));
        }
        if name.ends_with('%') {
            return match units::percent(name) {
                Ok(0) => Err(self.source.error(Some(at), "0% of all clients are none")),
                Ok(ppm) => Ok(Clients::Part(ppm)),
                Err(message) => Err(self.source.error(Some(at), message)),
            };
        }
        if let Some(count) = name.strip_suffix(" drawn").and_then(|count| count.trim().parse::<i64>().ok()) {
            return Ok(Clients::Drawn(self.client(count, at)? + 1));
        }
        match name {
            "all" => Ok(Clients::All),
            name => {
                let known = ["all", "at leader", "at follower", "at random"];
                let near =
                    if strsim::jaro_winkler(name, "all") > 0.75 { suggest(name, known.into_iter()) } else { String::new() };
                Err(self.source.error(Some(at), format!("unknown clients \"{name}\"{near}: {SHAPES}")))
            }
        }
    }

    /// Counted from 0.
    fn client(&self, number: i64, at: Range<usize>) -> Checked<u32> {
        match u32::try_from(number) {
            Ok(number) if (1..=self.clients).contains(&number) => Ok(number - 1),
            _ => Err(self.source.error(Some(at), format!("there is no client {number}: the workload has 1 to {}", self.clients))),
        }
    }
}
