//! What a node has done beside its own task: keys derived from passwords, which takes long on purpose, and searches in an index of words.
//!
//! Whoever does it reports by [`Report`], once for each job, in any order. Without anybody, keys are derived at once on the node's task (a simulation, where deriving costs
//! little), and searches are answered that there is no index.

use crate::input::Input;
use tertulia_protocol::chat::Refusal;
use tertulia_protocol::chat::password::{Password, Recipe};
use tertulia_protocol::contract::RowBatch;
use tertulia_protocol::gateway::Found;
use tertulia_protocol::ids::{Index, LoadId, RoomId};
use tokio::sync::mpsc::UnboundedSender;

/// A search, as the node asks for it: see [`tertulia_protocol::node::Output::Search`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    pub words: String,
    pub rooms: Vec<RoomId>,
    pub before: Option<Found>,
    pub limit: u32,
}

/// A way back to the node's task. Dropping it without a word leaves whoever waits without an answer.
#[derive(Clone, Debug)]
pub struct Report {
    node: UnboundedSender<Input>,
}

impl Report {
    pub(crate) fn new(node: UnboundedSender<Input>) -> Report {
        Report { node }
    }

    /// A key is derived.
    pub fn derived(&self, id: u64, key: tertulia_protocol::chat::password::Key) {
        // A node that has ended waits for nothing.
        let _ = self.node.send(Input::Derived { id, key });
    }

    /// A search is done, the newest first; or why it cannot be.
    pub fn found(&self, id: LoadId, found: Result<Vec<Found>, Refusal>) {
        let _ = self.node.send(Input::Found { id, found });
    }
}

/// Does what takes long. No method may block.
pub trait Aside: Send {
    fn derive(&mut self, id: u64, password: Password, recipe: Recipe, report: Report);

    fn search(&mut self, id: LoadId, search: Search, report: Report);

    /// These rows were handed to the store.
    fn wrote(&mut self, rows: &RowBatch);

    /// All rows make way for others, which stand for the log through `through` and come from another node. [`Aside::wrote`] is not told of them.
    fn replaced(&mut self, through: Index) {
        let _ = through;
    }
}

/// Everything at once, and no index.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtOnce;

impl Aside for AtOnce {
    fn derive(&mut self, id: u64, password: Password, recipe: Recipe, report: Report) {
        report.derived(id, recipe.derive(&password));
    }

    fn search(&mut self, id: LoadId, _: Search, report: Report) {
        report.found(id, Err(Refusal::BadRequest { why: "this node keeps no index of words".into() }));
    }

    fn wrote(&mut self, _: &RowBatch) {}
}
