//! How the rows of a backup become the first state of a new cluster.
//!
//! - The new cluster's log begins behind one entry more than the backup holds: the entry that names its founder as the only member. That entry is not written anywhere, for the rows
//!   contain what it did; its place is where the log begins, as after a snapshot. So everything that raft believes of a place holds of it: it is the founder's own, committed by
//!   the founder alone, and its term was won by the founder's vote.
//! - Its chain contains the founder's data folder, which is drawn at random: the logs of two clusters that were founded from the same backup never match anywhere.
//! - Of the rows only those about the old cluster's nodes change: who they are, and who of them leads next. Rows of sessions and of the state machine are not looked at.

use super::snapshot::MOST_INDEX;
use super::*;
use crate::raft::Member;
use alloc::string::String;
use core::fmt;

/// What is to be written over the rows of a backup, and what the log begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founding {
    /// What the rows stand for then. The log begins after its position.
    pub applied: AppliedRow,
    /// The rows that change, that of [`APPLIED_KEY`] among them.
    pub rows: RowBatch,
    pub vote: Vote,
}

/// Why a backup's rows cannot found a cluster. Each text says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FoundError {
    /// They stand for nothing, or for a place that no log comes to.
    Place { index: Index, term: Term },
    /// They do not say who the members were: every state that a log led to does.
    NoConfiguration,
    /// A row is of a kind or version that is not known here.
    Unknown { why: String },
    /// The founder has no id or no data folder.
    Founder,
}

impl fmt::Display for FoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FoundError::Place { index, term } => {
                write!(
                    f,
                    "its rows stand for log entry {index} of term {term}, which no cluster can go on from: use another backup"
                )
            }
            FoundError::NoConfiguration => write!(f, "its rows do not say who the members were: use another backup"),
            FoundError::Unknown { why } => {
                write!(f, "the row of its members cannot be read: {why}; run the release that wrote it, or a newer one")
            }
            FoundError::Founder => write!(f, "the founder needs an id from 1 and a data folder of its own"),
        }
    }
}

impl core::error::Error for FoundError {}

/// Whether [`found`] must see the row of this key.
pub fn is_of_members(key: &[u8]) -> bool {
    [CONFIGURATION_KEY, SUCCESSION_KEY].contains(&key)
}

/// The state with which `founder` begins a new cluster. `backup`: what the backup's rows stand for; `of_members`: those of them that [`is_of_members`] says yes to.
///
/// # Errors
/// See [`FoundError`].
pub fn found(backup: &AppliedRow, of_members: &[(Bytes, Bytes)], founder: Member) -> Result<Founding, FoundError> {
    let Position { index, term, .. } = backup.position;
    if index == 0 || index >= MOST_INDEX || term >= MOST_INDEX {
        return Err(FoundError::Place { index, term });
    }
    if founder.id.0 == 0 || founder.incarnation.is_none() {
        return Err(FoundError::Founder);
    }
    let id = founder.id;
    let old = own_rows(of_members);
    let members = old.get(CONFIGURATION_KEY).ok_or(FoundError::NoConfiguration)?;
    let before = configuration_row(members).map_err(|error| FoundError::Unknown { why: error.to_string() })?;
    let configuration = before.founded_anew(founder);
    let entry = Entry::after(backup.position, term + 1, backup.at, seal(Kind::Membership, &configuration));

    let row = seal(Kind::MembershipRow, &configuration);
    let mut hash = backup.hash.changed(CONFIGURATION_KEY, Some(members), Some(&row));
    let mut rows = Vec::from([(Bytes::from_static(CONFIGURATION_KEY), Some(row))]);
    if let Some(succession) = old.get(SUCCESSION_KEY) {
        // It orders nodes that are none here. The first leader says anew who leads next.
        hash = hash.changed(SUCCESSION_KEY, Some(succession), None);
        rows.push((Bytes::from_static(SUCCESSION_KEY), None));
    }
    let applied = AppliedRow { position: entry.position(), at: backup.at, hash };
    rows.push((Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &applied))));
    Ok(Founding { applied, rows: RowBatch { rows }, vote: Vote { term: entry.term, voted_for: Some(id) } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::succession::Succession;

    fn member(id: u64, folder: u128) -> Member {
        let (peer_address, client_address) = (format!("n{id}:1"), format!("http://n{id}:2"));
        Member { id: NodeId(id), peer_address, client_address, incarnation: Some(Incarnation(folder)) }
    }

    /// The rows of members of a cluster of three, and some other row.
    fn rows() -> Vec<(Bytes, Bytes)> {
        let three = Configuration::of_voters((1..=3).map(|id| member(id, id.into())).collect());
        let succession = Succession { epoch: 7, order: [2, 3, 1].map(NodeId).into(), ..Succession::default() };
        let row = |key: &'static [u8], value| (Bytes::from_static(key), value);
        Vec::from([
            row(CONFIGURATION_KEY, seal(Kind::MembershipRow, &three)),
            row(SUCCESSION_KEY, seal(Kind::SuccessionRow, &succession)),
            row(&[0x90, 1], Bytes::from_static(b"a message")),
        ])
    }

    fn sum(rows: &BTreeMap<Bytes, Bytes>) -> StateHash {
        let counted = rows.iter().filter(|(key, _)| *key != APPLIED_KEY);
        counted.fold(StateHash(0), |sum, (key, value)| sum.changed(key, None, Some(value)))
    }

    fn backup(rows: &[(Bytes, Bytes)]) -> AppliedRow {
        let position = Position { index: 100, term: 4, chain: 77 };
        AppliedRow { position, at: Timestamp(5_000), hash: sum(&rows.iter().cloned().collect()) }
    }

    fn written(rows: &[(Bytes, Bytes)], founding: &Founding) -> BTreeMap<Bytes, Bytes> {
        let mut all: BTreeMap<Bytes, Bytes> = rows.iter().cloned().collect();
        for (key, value) in &founding.rows.rows {
            match value {
                Some(value) => drop(all.insert(key.clone(), value.clone())),
                None => drop(all.remove(key)),
            }
        }
        all
    }

    #[test]
    fn the_founder_is_the_only_member_and_the_hash_is_that_of_the_rows() {
        let before = rows();
        let founding = found(&backup(&before), &before, member(2, 99)).unwrap();
        let after = written(&before, &founding);
        assert_eq!(sum(&after), founding.applied.hash);
        assert_eq!(open::<AppliedRow>(Kind::Applied, &after[APPLIED_KEY]), Ok(founding.applied));
        let members = configuration_row(&after[CONFIGURATION_KEY]).unwrap();
        assert_eq!((members.voters(), members.members()), (&[NodeId(2)][..], &[member(2, 99)][..]));
        assert!(
            members.was_removed(NodeId(1)) && members.was_removed(NodeId(3)),
            "ids are given once, over all lives of the data"
        );
        assert!(!after.contains_key(SUCCESSION_KEY));
        assert_eq!(after[&[0x90, 1][..]], Bytes::from_static(b"a message"));
        let of_members: Vec<_> = before.iter().filter(|(key, _)| is_of_members(key)).cloned().collect();
        assert_eq!(found(&backup(&before), &of_members, member(2, 99)), Ok(founding), "the other rows do not matter");
    }

    #[test]
    fn the_log_begins_behind_an_entry_of_the_founders_own_term() {
        let before = rows();
        let old = backup(&before);
        let Founding { applied, vote, .. } = found(&old, &before, member(9, 99)).unwrap();
        assert_eq!((applied.position.index, applied.position.term, applied.at), (101, 5, old.at));
        assert_eq!(vote, Vote { term: 5, voted_for: Some(NodeId(9)) });
        let other = found(&old, &before, member(9, 98)).unwrap();
        assert_ne!(applied.position.chain, other.applied.position.chain, "another folder, another cluster");
    }

    #[test]
    fn rows_that_no_log_led_to_found_nothing() {
        let before = rows();
        let old = backup(&before);
        let at = |index, term| AppliedRow { position: Position { index, term, chain: 0 }, ..old };
        assert_eq!(found(&at(0, 0), &before, member(1, 9)), Err(FoundError::Place { index: 0, term: 0 }));
        assert!(found(&at(1 << 62, 1), &before, member(1, 9)).is_err() && found(&at(1, 1 << 62), &before, member(1, 9)).is_err());
        assert_eq!(found(&old, &before[1..], member(1, 9)), Err(FoundError::NoConfiguration));
        let strange = [(Bytes::from_static(CONFIGURATION_KEY), Bytes::from_static(&[0xff, 0xff, 1]))];
        let error = found(&old, &strange, member(1, 9)).unwrap_err().to_string();
        assert!(error.contains("a newer one"), "{error}");
        let nobody = Member { incarnation: None, ..member(1, 9) };
        assert_eq!(found(&old, &before, nobody), Err(FoundError::Founder));
        assert_eq!(found(&old, &before, member(0, 9)), Err(FoundError::Founder));
    }
}
