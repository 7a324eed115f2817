//! Prints what a scenario file may say: as a JSON Schema for editors, or as the reference in the documentation.

use crate::scenario::{json_schema, reference};
use clap::Args;

#[derive(Args)]
pub(super) struct Schema {
    /// The reference of `docs/SCENARIOS.md` instead, in Markdown
    #[arg(long)]
    reference: bool,
}

impl Schema {
    pub fn run(&self) -> Result<bool, String> {
        match self.reference {
            true => print!("{}", reference::reference()),
            false => print!("{}", json_schema::json_schema_text()),
        }
        Ok(true)
    }
}
