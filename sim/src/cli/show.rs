//! What a scenario leaves to the seed, as it is drawn for one: for people who want to know what a seed plays.

use crate::scenario::{Drawn, Template};
use clap::Args;

#[derive(Args)]
pub(super) struct Show {
    /// The scenario, a .toml file
    file: String,
    /// For which seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl Show {
    pub fn run(&self) -> Result<bool, String> {
        let template = Template::load(&self.file).map_err(|error| error.to_string())?;
        let drawn = template.drawn(self.seed).map_err(|error| error.to_string())?;
        if drawn.is_empty() {
            println!("{} leaves nothing to the seed.", self.file);
        }
        print!("{}", lines(&drawn));
        Ok(true)
    }
}

/// One line each: what, and the value. What a fault drew stands below it.
fn lines(drawn: &[Drawn]) -> String {
    let width = drawn.iter().map(|drawn| drawn.what.chars().count()).max().unwrap_or(0);
    drawn.iter().map(|Drawn { what, value }| format!("{what:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_is_told_in_two_columns() {
        let drawn = |what: &str, value: &str| Drawn { what: what.to_owned(), value: value.to_owned() };
        let told = lines(&[drawn("cluster.voters", "5"), drawn("fault \"split\"", "not there")]);
        assert_eq!(told, "cluster.voters  5\nfault \"split\"   not there\n");
    }
}
