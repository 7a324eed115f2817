//! What a data folder knows of its own node beside the store: `node.json`, so that a later start needs nothing but the folder.
//!
//! - A newcomer's incarnation is written here before the cluster hears of it: a start after a crash asks for the same membership and not for another one.
//! - The file is replaced whole, and durably.
//! - Who the members are is the log's to say; what stands here counts only until the log says something.

use crate::peers::{Peer, parse_peer};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tertulia_protocol::ids::{Incarnation, NodeId};

const FILE: &str = "node.json";

/// The file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// `None`: the node asked to join and has no answer yet.
    pub id: Option<NodeId>,
    /// Only of a node that joined: what it drew for its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
    /// `HOST:PORT` for clients.
    pub listen: String,
    /// `HOST:PORT` for peers.
    pub peer_listen: String,
    /// `ID=HOST:PORT=URL` each, this node among them once it has an id.
    pub members: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// 32 hexadecimal digits.
    pub incarnation: String,
    /// Servers that are asked.
    pub servers: Vec<String>,
    pub replace: Option<NodeId>,
    /// How the others reach it.
    pub peer_address: String,
    pub client_address: String,
    /// The store has been made: a folder without one has lost it.
    pub opened: bool,
}

impl Joined {
    pub fn incarnation(&self) -> Option<Incarnation> {
        crate::hex::incarnation(&self.incarnation).map(Incarnation)
    }
}

impl Known {
    /// What the folder says; `None` if it says nothing.
    pub fn read(data: &Path) -> Result<Option<Known>, String> {
        let path = data.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let bad = |why: &dyn std::fmt::Display| {
            format!("{} is damaged ({why}): name a copy of it, or start the node with --id and --peers as it was", path.display())
        };
        let known: Known = serde_json::from_str(&text).map_err(|error| bad(&error))?;
        known.peers().map_err(|error| bad(&error))?;
        match &known.joined {
            Some(joined) if joined.incarnation().is_none() => Err(bad(&"its incarnation is not 32 hexadecimal digits")),
            None if known.id.is_none() => Err(bad(&"it has no id")),
            _ => Ok(Some(known)),
        }
    }

    /// Writes it, durably: when this returns, a power cut changes nothing.
    pub fn write(&self, data: &Path) -> Result<(), String> {
        let path = data.join(FILE);
        let fail = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        fs::create_dir_all(data).map_err(fail)?;
        let beside = data.join("node.json.new");
        let text = serde_json::to_string_pretty(self).map_err(|error| fail(error.into()))?;
        let mut file = fs::File::create(&beside).map_err(fail)?;
        writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(fail)?;
        fs::rename(&beside, &path).map_err(fail)?;
        fs::File::open(data).and_then(|folder| folder.sync_all()).map_err(fail)
    }

    pub fn peers(&self) -> Result<Vec<Peer>, String> {
        self.members.iter().map(|member| parse_peer(member)).collect()
    }
}

/// The folder of the store in a data folder. It is one of its own: logs and other things may lie beside it.
pub fn store(data: &Path) -> PathBuf {
    data.join("store")
}

/// Whether a store has been made there.
pub fn has_store(data: &Path) -> bool {
    store(data).join("identity").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            id: None,
            joined: Some(Joined {
                incarnation: "ab".repeat(16),
                servers: vec!["http://127.0.0.1:8081".into()],
                replace: Some(NodeId(2)),
                peer_address: "127.0.0.1:9084".into(),
                client_address: "http://127.0.0.1:8084".into(),
                opened: false,
            }),
            listen: "127.0.0.1:8084".into(),
            peer_listen: "127.0.0.1:9084".into(),
            members: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_is_read_from_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("deep/down");
        assert_eq!(Known::read(&data), Ok(None));
        known().write(&data).unwrap();
        assert_eq!(Known::read(&data), Ok(Some(known())));
        let later = Known { id: Some(NodeId(4)), members: vec!["1=h:1=http://h:2".into()], ..known() };
        later.write(&data).unwrap();
        assert_eq!(Known::read(&data), Ok(Some(later)));
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_taken_for_a_new_folder() {
        let dir = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&known()).unwrap();
        for bad in ["", "{}", &text.replace("abab", "xyxy"), &text.replace("[]", "[\"x\"]")] {
            fs::write(dir.path().join(FILE), bad).unwrap();
            assert!(Known::read(dir.path()).unwrap_err().contains("damaged"), "{bad}");
        }
    }
}
