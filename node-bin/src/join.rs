//! As whom a node starts: by its arguments, by what its folder knows, or by asking the cluster for a place.
//!
//! A newcomer draws its incarnation and writes it down, then asks each server in turn until it is told its id; what it was told is written down before the store is made.
//! A crash between any two of these steps loses nothing: the next start goes on with the same folder.

use crate::cli::Serve;
use crate::folder::{Joined, Known, has_store};
use crate::hex;
use crate::operator::{Call, ask_until_done};
use crate::peers::{Peer, check_peers, host_and_port};
use serde::Deserialize;
use serde_json::json;
use std::path::Path;
use tertulia_protocol::ids::{Incarnation, NodeId};
use tertulia_protocol::wire::handshake::Secret;

pub const LISTEN: &str = "127.0.0.1:8081";
pub const PEER_LISTEN: &str = "127.0.0.1:9081";

/// What a start is made of, before anything is opened. A newcomer has no id yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    pub known: Known,
    /// Whether the folder says so already.
    written: bool,
}

impl Start {
    /// Puts arguments and folder together.
    ///
    /// # Errors
    /// They say too little, or contradict each other.
    pub fn of(args: &Serve) -> Result<Start, String> {
        let known = Known::read(&args.data)?;
        let has_store = has_store(&args.data);
        match known {
            Some(known) if known.joined.is_some() => Start::of_joined(args, known, has_store),
            Some(known) if args.peers.is_empty() => {
                let known = with_listen(args, known);
                check_id(args, known.id)?;
                Ok(Start { known, written: false })
            }
            None if !args.join.is_empty() && has_store => Err(format!(
                "{} is a node's folder already: start it with --id and --peers, or join with an empty folder",
                args.data.display()
            )),
            None if !args.join.is_empty() => Start::of_newcomer(args),
            known => Start::of_bootstrapped(args, known),
        }
    }

    fn of_bootstrapped(args: &Serve, known: Option<Known>) -> Result<Start, String> {
        let Some(id) = args.id.map(NodeId).or(known.as_ref().and_then(|known| known.id)).filter(|_| !args.peers.is_empty())
        else {
            return Err(format!(
                "{} holds no node yet: say which one with --id and --peers, or join a cluster with --join URL",
                args.data.display()
            ));
        };
        check_peers(&args.peers, id)?;
        check_id(args, known.as_ref().and_then(|known| known.id))?;
        let members = args.peers.iter().map(Peer::to_string).collect();
        let listen = listens(args, known.as_ref());
        Ok(Start {
            known: Known { id: Some(id), joined: None, listen: listen.0, peer_listen: listen.1, members },
            written: false,
        })
    }

    fn of_joined(args: &Serve, known: Known, has_store: bool) -> Result<Start, String> {
        let data = args.data.display();
        let Some(joined) = &known.joined else { return Err(format!("{data} holds no node that joined")) };
        if let Some(id) = known.id {
            check_id(args, known.id)?;
            if joined.opened && !has_store {
                return Err(format!(
                    "{data} was the folder of node {0}, and its store is gone; node {0} cannot come back without it. \
                     Join with an empty folder: node serve --join URL --replace {0} --data …",
                    id.0
                ));
            }
            let changed = |given: &Option<String>, is: &str| given.as_ref().is_some_and(|given| given != is);
            if changed(&args.advertise_peer, &joined.peer_address) || changed(&args.advertise, &joined.client_address) {
                return Err(format!(
                    "the cluster knows node {0} as {1} and {2}, and a member's addresses do not change: let a node with an empty folder join at the new ones, \
                     with --replace {0}",
                    id.0, joined.peer_address, joined.client_address
                ));
            }
            return Ok(Start { known: with_listen(args, known), written: true });
        }
        if args.id.is_some() || !args.peers.is_empty() {
            return Err(format!("{data} is the folder of a node that asked to join: leave out --id and --peers"));
        }
        // Whatever is not said again is as it was.
        let mut joined = joined.clone();
        if !args.join.is_empty() {
            joined.servers.clone_from(&args.join);
            joined.replace = args.replace.map(NodeId);
        }
        let mut known = with_listen(args, known);
        if args.advertise_peer.is_some() || args.peer_listen.is_some() {
            joined.peer_address = advertised_peer(args.advertise_peer.as_ref(), &known.peer_listen)?;
        }
        if args.advertise.is_some() || args.listen.is_some() {
            joined.client_address = advertised(args.advertise.as_ref(), &known.listen)?;
        }
        known.joined = Some(joined);
        Ok(Start { known, written: false })
    }

    fn of_newcomer(args: &Serve) -> Result<Start, String> {
        let (listen, peer_listen) = listens(args, None);
        let joined = Joined {
            incarnation: hex::encode(&rand::random::<[u8; 16]>()),
            servers: args.join.clone(),
            replace: args.replace.map(NodeId),
            peer_address: advertised_peer(args.advertise_peer.as_ref(), &peer_listen)?,
            client_address: advertised(args.advertise.as_ref(), &listen)?,
            opened: false,
        };
        Ok(Start { known: Known { id: None, joined: Some(joined), listen, peer_listen, members: Vec::new() }, written: false })
    }

    /// The id; a newcomer asks for it, for as long as it takes.
    ///
    /// # Errors
    /// The cluster refuses, or the folder cannot be written.
    pub async fn settle(mut self, data: &Path, secret: &Secret) -> Result<Me, String> {
        if let (None, Some(joined)) = (self.known.id, &self.known.joined) {
            self.known.write(data)?;
            let told = ask(joined, secret).await?;
            tracing::info!(node = told.id.0, "the cluster has taken this node in");
            self.known.id = Some(told.id);
            self.known.members = told.members.iter().map(|member| member.peer().to_string()).collect();
            self.known.write(data)?;
        }
        let id = self.known.id.ok_or("this node has no id: this is a bug, please report it")?;
        Ok(Me { id, known: self.known, written: self.written })
    }
}

/// Who a node is.
pub struct Me {
    pub id: NodeId,
    pub known: Known,
    written: bool,
}

impl Me {
    /// The members that the node begins with: of a new cluster all, of a newcomer's the others.
    pub fn members(&self) -> Result<Vec<Peer>, String> {
        let peers = self.known.peers()?;
        Ok(peers.into_iter().filter(|peer| self.known.joined.is_none() || peer.id != self.id).collect())
    }

    /// What the folder is to be known by: drawn before, by a node that joined.
    pub fn incarnation(&self) -> Incarnation {
        let drawn = self.known.joined.as_ref().and_then(Joined::incarnation);
        drawn.unwrap_or_else(|| Incarnation(rand::random()))
    }

    /// Where peers reach it.
    pub fn peer_address(&self) -> Option<String> {
        self.known.joined.as_ref().map(|joined| joined.peer_address.clone())
    }

    /// Addresses of web pages that belong here.
    pub fn urls(&self) -> Result<Vec<String>, String> {
        let own = self.known.joined.as_ref().map(|joined| joined.client_address.clone());
        let mut urls: Vec<String> = self.known.peers()?.into_iter().map(|peer| peer.client_url).chain(own).collect();
        urls.dedup();
        Ok(urls)
    }

    /// The store is there: the folder says so before the node says anything to anybody.
    pub fn opened(&mut self, data: &Path) -> Result<(), String> {
        let first = self.known.joined.as_mut().is_some_and(|joined| !std::mem::replace(&mut joined.opened, true));
        if first || !self.written { self.known.write(data) } else { Ok(()) }
    }
}

fn check_id(args: &Serve, known: Option<NodeId>) -> Result<(), String> {
    match (args.id, known) {
        (Some(given), Some(known)) if given != known.0 => Err(format!(
            "{} is the folder of node {}, not of node {given}: name that node's own folder; a folder is never given to another node",
            args.data.display(),
            known.0
        )),
        _ => Ok(()),
    }
}

fn listens(args: &Serve, known: Option<&Known>) -> (String, String) {
    let one = |given: &Option<String>, known: Option<&String>, default: &str| {
        given.as_ref().or(known).cloned().unwrap_or_else(|| default.to_owned())
    };
    (
        one(&args.listen, known.map(|known| &known.listen), LISTEN),
        one(&args.peer_listen, known.map(|known| &known.peer_listen), PEER_LISTEN),
    )
}

fn with_listen(args: &Serve, mut known: Known) -> Known {
    (known.listen, known.peer_listen) = listens(args, Some(&known));
    known
}

/// Where peers reach a node that listens there, unless it is said.
pub fn advertised_peer(given: Option<&String>, listen: &str) -> Result<String, String> {
    match given {
        Some(given) => Ok(given.clone()),
        None => reachable(listen, "--peer-listen", "--advertise-peer HOST:PORT"),
    }
}

/// Where clients reach a node that listens there, unless it is said.
pub fn advertised(given: Option<&String>, listen: &str) -> Result<String, String> {
    match given {
        Some(given) => Ok(given.clone()),
        None => Ok(format!("http://{}", reachable(listen, "--listen", "--advertise URL")?)),
    }
}

/// An address to listen on, if others can use it as it is.
fn reachable(listen: &str, flag: &str, instead: &str) -> Result<String, String> {
    match host_and_port(listen) {
        Some(("0.0.0.0" | "[::]", _)) => {
            Err(format!("{flag} {listen} is every address of this machine: say with {instead} how others reach this node"))
        }
        Some(_) => Ok(listen.to_owned()),
        None => Err(format!(
            "{flag} {listen} is nothing that others can use: write it as HOST:PORT, or say with {instead} how they reach this node"
        )),
    }
}

#[derive(Deserialize)]
struct Told {
    id: NodeId,
    members: Vec<ToldMember>,
}

#[derive(Deserialize)]
struct ToldMember {
    id: NodeId,
    peer_address: String,
    client_address: String,
}

impl ToldMember {
    fn peer(&self) -> Peer {
        Peer { id: self.id, peer_address: self.peer_address.clone(), client_url: self.client_address.clone() }
    }
}

async fn ask(joined: &Joined, secret: &Secret) -> Result<Told, String> {
    let body = json!({
        "peer_address": joined.peer_address,
        "client_address": joined.client_address,
        "incarnation": joined.incarnation,
        "replace": joined.replace,
    });
    let call = Call { method: "POST", path: "/api/v1/cluster/members", body: &body };
    tracing::info!(servers = joined.servers.join(","), "asking the cluster for a place");
    let waits = |why: &str| tracing::warn!("waiting to join: {why}");
    let answer = ask_until_done(&joined.servers, secret, &call, waits).await.map_err(|why| format!("cannot join: {why}"))?;
    serde_json::from_value(answer).map_err(|error| format!("cannot join: the answer is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn serve(data: &Path, line: &str) -> Serve {
        let line = format!("node serve --secret-file s --data {} {line}", data.display());
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Some(Command::Serve(serve)) => *serve,
            _ => panic!(),
        }
    }

    const TWO: &str = "--peers 1=h:1=http://h:11,2=h:2=http://h:12";

    #[test]
    fn a_folder_that_was_started_once_needs_no_peers_again() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = Start::of(&serve(dir.path(), "")).unwrap_err();
        assert!(nothing.contains("--id and --peers") && nothing.contains("--join"), "{nothing}");
        let start = Start::of(&serve(dir.path(), &format!("--id 2 --listen h:12 {TWO}"))).unwrap();
        let mut me = Me { id: NodeId(2), known: start.known.clone(), written: false };
        me.opened(dir.path()).unwrap();
        let again = Start::of(&serve(dir.path(), "")).unwrap();
        assert_eq!(again.known, start.known);
        assert!(Start::of(&serve(dir.path(), "--id 1")).unwrap_err().contains("folder of node 2, not of node 1"));
        let moved = Start::of(&serve(dir.path(), "--listen h:99")).unwrap();
        assert_eq!(moved.known.listen, "h:99");
    }

    #[test]
    fn a_newcomer_keeps_its_incarnation_and_says_how_it_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let wild = Start::of(&serve(dir.path(), "--join http://h:1 --listen 0.0.0.0:8084")).unwrap_err();
        assert!(wild.contains("--advertise URL"), "{wild}");
        let wild = Start::of(&serve(dir.path(), "--join http://h:1 --peer-listen [::]:9084")).unwrap_err();
        assert!(wild.contains("--advertise-peer"), "{wild}");
        let line = "--join http://h:1,http://h:2 --listen 0.0.0.0:8084 --peer-listen 0.0.0.0:9084 --advertise http://me:8084 --advertise-peer me:9084";
        let start = Start::of(&serve(dir.path(), line)).unwrap();
        start.known.write(dir.path()).unwrap();
        for line in ["", "--join http://h:3 --replace 2"] {
            let again = Start::of(&serve(dir.path(), line)).unwrap().known.joined.unwrap();
            let first = start.known.joined.clone().unwrap();
            assert_eq!((again.incarnation, again.peer_address), (first.incarnation, first.peer_address));
            assert_eq!(again.replace, if line.is_empty() { None } else { Some(NodeId(2)) });
        }
        assert!(Start::of(&serve(dir.path(), &format!("--id 2 {TWO}"))).unwrap_err().contains("leave out --id"));
    }

    #[test]
    fn a_joined_folder_that_lost_its_store_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = Start::of(&serve(dir.path(), "--join http://h:1")).unwrap().known;
        known.id = Some(NodeId(4));
        known.members = vec!["1=h:1=http://h:11".into(), "4=h:4=http://h:14".into()];
        known.write(dir.path()).unwrap();
        let mut me = Me { id: NodeId(4), known, written: true };
        assert_eq!(me.members().unwrap().len(), 1, "the others");
        assert!(Start::of(&serve(dir.path(), "--join http://h:1")).is_ok(), "told, and not made yet");
        me.opened(dir.path()).unwrap();
        let lost = Start::of(&serve(dir.path(), "--join http://h:1")).unwrap_err();
        assert!(lost.contains("its store is gone") && lost.contains("--replace 4"), "{lost}");
        std::fs::create_dir_all(dir.path().join("store")).unwrap();
        std::fs::write(dir.path().join("store/identity"), "x").unwrap();
        assert!(Start::of(&serve(dir.path(), "--join http://h:1")).is_ok());
        let moved = Start::of(&serve(dir.path(), "--advertise-peer h:77")).unwrap_err();
        assert!(moved.contains("addresses do not change"), "{moved}");
    }
}
