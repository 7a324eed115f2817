//! What is said of two states that differ.

use crate::ids::*;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What an entry did to a row: digests of what it held before and after, `None` where there was no such row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct RowChange {
    pub old: Option<u64>,
    pub new: Option<u64>,
}

/// A row that one entry left otherwise on two nodes.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct DifferentRow {
    /// Its key, as a person reads it; see [`crate::replica::StateMachine::describe`].
    pub row: String,
    /// What the entry did to it on this node and on the other; `None`: it did not touch it.
    pub here: Option<RowChange>,
    pub there: Option<RowChange>,
}

/// The states of two nodes differ at one place of the log, though the same entries must give the same state. Nobody knows which of the two is right.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Divergence {
    pub peer: NodeId,
    /// The first entry after which the states differ. If `earlier`, it may have been one before: what is remembered reaches no further back.
    pub first: Index,
    pub earlier: bool,
    /// The last place at which they were compared and differed.
    pub through: Index,
    /// What the entry `first` did otherwise; at most a few, and so many more. Empty if that is not known.
    pub rows: Vec<DifferentRow>,
    pub more_rows: u32,
    /// Other nodes whose state after `first` is that of this node, and those whose state is that of `peer`. Who is in neither list has a state of its own or did not answer.
    pub with_this: Vec<NodeId>,
    pub with_peer: Vec<NodeId>,
}

impl fmt::Display for RowChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.new {
            Some(new) => write!(f, "{new:016x}"),
            None => f.write_str("deleted"),
        }
    }
}

impl fmt::Display for DifferentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |change: Option<RowChange>| change.map_or("not touched".into(), |change| format!("{change}"));
        write!(f, "{}: ", self.row)?;
        match (self.here, self.there) {
            (Some(here), Some(there)) if here.new == there.new => write!(f, "{here} on both, over different values"),
            (here, there) => write!(f, "{} here, {} there", side(here), side(there)),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = if self.earlier { "at or before entry" } else { "with entry" };
        let Divergence { peer, first, through, .. } = self;
        write!(f, "the state differs from that of {peer}: it began {since} {first}, and was seen at {through}")?;
        for (nth, row) in self.rows.iter().enumerate() {
            write!(f, "{}{row}", if nth == 0 { "; rows that the entry left otherwise: " } else { ", " })?;
        }
        if self.more_rows > 0 {
            write!(f, ", and {} more", self.more_rows)?;
        }
        for (nodes, whom) in [(&self.with_this, "this node"), (&self.with_peer, "the other")] {
            for (nth, node) in nodes.iter().enumerate() {
                write!(f, "{}{node}", if nth == 0 { "; " } else { ", " })?;
            }
            if !nodes.is_empty() {
                write!(f, " {} with {whom}", if nodes.len() == 1 { "agrees" } else { "agree" })?;
            }
        }
        Ok(())
    }
}

/// A key as a table and numbers if it looks like that, and in hexadecimal digits otherwise.
pub fn describe_key(key: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let Some((table, rest)) = key.split_first() else { return "the empty key".into() };
    let (numbers, odd) = rest.as_chunks::<8>();
    if rest.is_empty() {
        return format!("row {table:02x}");
    }
    if !odd.is_empty() {
        return format!("row {table:02x} {}", hex(rest));
    }
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{}", u64::from_be_bytes(*number))).collect();
    format!("row {table:02x} ({})", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_table_and_numbers_or_digits() {
        assert_eq!(describe_key(&[0x13, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 0]), "row 13 (7, 256)");
        assert_eq!(describe_key(&[0x80, 1, 2]), "row 80 0102");
        assert_eq!(describe_key(&[1]), "row 01");
    }

    #[test]
    fn a_report_is_a_sentence() {
        let change = |old, new| Some(RowChange { old, new });
        let row = |row: &str, here, there| DifferentRow { row: row.into(), here, there };
        let mut report = Divergence {
            peer: NodeId(2),
            first: 17,
            earlier: false,
            through: 256,
            rows: Vec::from([
                row("row 03 (2, 1)", change(Some(1), None), None),
                row("row 10 (1)", change(None, Some(1)), change(Some(4), Some(1))),
            ]),
            more_rows: 3,
            with_this: Vec::from([NodeId(3), NodeId(4)]),
            with_peer: Vec::from([NodeId(5)]),
        };
        assert_eq!(
            format!("{report}"),
            "the state differs from that of n2: it began with entry 17, and was seen at 256; rows that the entry left otherwise: \
             row 03 (2, 1): deleted here, not touched there, row 10 (1): 0000000000000001 on both, over different values, and 3 more; \
             n3, n4 agree with this node; n5 agrees with the other"
        );
        report =
            Divergence { earlier: true, rows: Vec::new(), more_rows: 0, with_this: Vec::new(), with_peer: Vec::new(), ..report };
        let short = "the state differs from that of n2: it began at or before entry 17, and was seen at 256";
        assert_eq!(format!("{report}"), short);
    }
}
