//! `node restore`: the data folder of the only node of a new cluster, from a backup.
//!
//! - The backup is read twice: once to check all of it, before anything is written, and once to write it.
//! - What the folder becomes is the protocol's to say ([`found`]); how, the driver's ([`store::make`]). `node.json` comes last: a folder without it starts nothing.
//! - The secret must be another one than the old cluster's: nodes of both would take each other for their own, and each holds a history that the other one does not.

use super::file::{self, Checked, Reading};
use super::{grouped, size};
use crate::cli::Restore;
use crate::folder::{self, Known};
use crate::join::{LISTEN, PEER_LISTEN, advertised, advertised_peer};
use crate::peers::Peer;
use crate::{secret, show};
use bytes::Bytes;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use tertulia_driver::backup::Item;
use tertulia_driver::disk::RealDisk;
use tertulia_driver::store::{self, FolderIdentity, MakeError, StoreOptions};
use tertulia_protocol::ids::{Incarnation, NodeId};
use tertulia_protocol::raft::Member;
use tertulia_protocol::replica::found;

pub fn restore(args: &Restore) -> Result<(), String> {
    let secret = secret::read(&args.secret_file)?;
    let listen = args.listen.clone().unwrap_or_else(|| LISTEN.into());
    let peer_listen = args.peer_listen.clone().unwrap_or_else(|| PEER_LISTEN.into());
    let peer = Peer {
        id: NodeId(args.id),
        peer_address: advertised_peer(args.advertise_peer.as_ref(), &peer_listen)?,
        client_url: advertised(args.advertise.as_ref(), &listen)?,
    };
    check_empty(&args.data)?;
    let checked = file::check(&args.file)?;
    if checked.head.cluster == secret.cluster_id() {
        return Err(format!(
            "{} is the secret of the cluster that the backup is of: nodes of that cluster and of the restored one would take each other for their own. \
             Make another one: openssl rand -hex 32 > new-secret",
            args.secret_file.display()
        ));
    }
    let incarnation = Incarnation(rand::random());
    let founder = Member { incarnation: Some(incarnation), ..peer.member() };
    let founding = found(&checked.head.applied, &checked.of_members, founder)
        .map_err(|error| format!("{}: {error}", args.file.display()))?;

    let identity = FolderIdentity { cluster: secret.cluster_id(), node: peer.id };
    let folder = folder::store(&args.data);
    let fail = |error: &dyn std::fmt::Display| format!("cannot make the data folder {}: {error}", folder.display());
    let disk = RealDisk::open(&folder).map_err(|error| fail(&error))?;
    let mut rows = Rows { reading: Reading::open(&args.file)?, checked: &checked };
    store::make(&disk, identity, incarnation, StoreOptions::default(), &founding, || rows.next()).map_err(
        |error| match error {
            MakeError::Folder(error) => fail(&error),
            MakeError::Taken => taken(&args.data),
            MakeError::Rows(why) => why,
        },
    )?;
    let known = Known { id: Some(peer.id), joined: None, listen, peer_listen, members: vec![peer.to_string()] };
    known.write(&args.data)?;
    tell(args, &checked, &peer);
    Ok(())
}

fn tell(args: &Restore, checked: &Checked, peer: &Peer) {
    let (data, secret) = (args.data.display(), args.secret_file.display());
    show(&format!(
        "{data} is node {} of a new cluster, with all that node {} held through log entry {}: {} rows, {}",
        peer.id.0,
        checked.head.node.0,
        checked.head.applied.position.index,
        grouped(checked.summary.rows),
        size(checked.summary.bytes)
    ));
    show(&format!("start it:     node serve --data {data} --secret-file {secret}"));
    show(&format!(
        "then others:  node serve --join {} --data EMPTY-FOLDER --secret-file {secret} --listen … --peer-listen …",
        peer.client_url
    ));
    show(&format!("let them vote: node add --voters 3 --server {} --secret-file {secret}", peer.client_url));
}

/// The backup's rows once more; they must be what was checked.
struct Rows<'a> {
    reading: Reading,
    checked: &'a Checked,
}

impl Rows<'_> {
    fn next(&mut self) -> Result<Option<Vec<(Bytes, Bytes)>>, String> {
        let changed = || "the backup changed while it was read: nothing was restored".to_owned();
        loop {
            match self.reading.next()? {
                Some(Item::Head(head)) if head == self.checked.head => {}
                Some(Item::Rows(rows)) => return Ok(Some(rows)),
                Some(Item::End(summary)) if summary == self.checked.summary => {}
                None => return Ok(None),
                Some(_) => return Err(changed()),
            }
        }
    }
}

fn taken(data: &Path) -> String {
    format!("{} is not empty: name an empty folder or one that does not exist", data.display())
}

/// The folder is to be there only when a node may start from it; what a restoration left that did not come to its end is no reason to refuse.
fn check_empty(data: &Path) -> Result<(), String> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot read {}: {error}", data.display())),
    };
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot read {}: {error}", data.display()))?;
        let begun = entry.path() == folder::store(data) && !folder::has_store(data);
        if !begun {
            return Err(taken(data));
        }
    }
    Ok(())
}
