//! One chat on a stage: a replica of one node whose log, rows and time are at hand. Named devices ask, and everything that comes of it is looked at.
//!
//! After each command: the hash is the sum over all rows; a chat from the rows that are not cold is the same chat; a command that was refused changed no row of the
//! chat's; the rules of [`super::rules`] hold.

use super::rules;
use bytes::Bytes;
use std::collections::BTreeMap;
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::gateway::Credential;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::Member;
use tertulia_protocol::replica::*;
use tertulia_protocol::time::{Duration, Timestamp};

/// Where the time of every stage begins.
pub const START: Timestamp = Timestamp(1_700_000_000_000_000);
/// The first table of the chat's rows; what lies below it is the session table's and the replica's.
const CHAT: u8 = 0x0e;

pub type Rows = BTreeMap<Bytes, Bytes>;

#[derive(Clone, Debug)]
struct Asked {
    session: SessionId,
    number: u64,
    command: Bytes,
    outcome: Result<Done, Refusal>,
}

pub struct Stage {
    pub replica: Replica<Chat>,
    pub rows: Rows,
    pub limits: Limits,
    pub events: Vec<ChatEvent>,
    executed: Vec<Executed>,
    /// Requests that outboxes have carried in vain.
    refused: Vec<(SessionId, Identity)>,
    numbers: BTreeMap<SessionId, u64>,
    credentials: u64,
    now: Now,
    boots: u64,
    asked: Option<Asked>,
    /// The first release's rooms had no owners.
    pub old: bool,
    /// Whether each step is looked at: long runs look at some.
    pub looks: bool,
}

fn config(limits: Limits) -> Config {
    let (peer_address, client_address) = (String::new(), String::new());
    let voter = Member { id: NodeId(1), peer_address, client_address, incarnation: Some(Incarnation(1)) };
    let mut config = Config::new(NodeId(1), ClusterId(7), vec![voter], Seed(1));
    config.limits = limits;
    config.facts = true;
    config
}

impl Stage {
    /// A stage whose chat stands in these rows already.
    pub fn with(limits: Limits, rows: Rows) -> Stage {
        let now = Now { instant: tertulia_protocol::time::Instant(1), wall: START };
        let mut restored = Restored::empty(Incarnation(1), Boot(1));
        // Rows of a chat alone stand for no place in a log: they are as if entry 0 had made them.
        let hash = hash_of(&rows);
        let applied = AppliedRow { position: Position::default(), at: Timestamp(0), hash };
        restored.rows = rows.iter().filter(|(key, _)| key[0] < COLD).map(|(key, row)| (key.clone(), row.clone())).collect();
        let applied = tertulia_protocol::wire::seal(tertulia_protocol::wire::Kind::Applied, &applied);
        restored.rows.insert(0, (Bytes::from_static(APPLIED_KEY), applied));
        let replica = Replica::restore(&config(limits), &restored, Chat::new(limits), now).unwrap();
        let old = !rows.is_empty();
        let mut stage = Stage {
            replica,
            rows,
            limits,
            events: Vec::new(),
            executed: Vec::new(),
            refused: Vec::new(),
            numbers: BTreeMap::new(),
            credentials: 0,
            now,
            boots: 1,
            asked: None,
            old,
            looks: true,
        };
        for _ in 0..100 {
            stage.wait(100);
            if stage.replica.raft().is_leader() && stage.replica.applied() > 0 {
                return stage;
            }
        }
        panic!("one node alone leads itself");
    }

    pub fn chat(&self) -> &Chat {
        self.replica.machine()
    }

    /// The stamp that the next command will have.
    pub fn stamp_of_next(&self) -> Timestamp {
        Timestamp::next(self.replica.applied_at(), self.now.wall)
    }

    /// Lets so many milliseconds pass.
    pub fn wait(&mut self, ms: u64) {
        self.now.instant += Duration::from_millis(ms);
        self.now.wall = self.now.wall.after_ms(ms);
        self.replica.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Store { id, .. } => self.replica.handle_stored(self.now, id),
                Output::Apply { rows, .. } => apply(&mut self.rows, rows),
                Output::Load { id, query } => {
                    let found = self.read(&query);
                    self.replica.handle_loaded(id, Ok(Loaded::Rows(found)));
                }
                Output::Event(event) => self.events.push(event),
                Output::Executed(executed) => self.executed.push(executed),
                Output::Halt { reason } => panic!("the node halts: {reason:?}"),
                _ => {}
            }
        }
        for fact in self.replica.take_facts() {
            if let Fact::TentativeRefused { session, identity, .. } = fact {
                self.refused.push((session, identity));
            }
        }
    }

    /// What the store finds.
    pub fn read(&self, query: &Query) -> Vec<(Bytes, Bytes)> {
        match query {
            Query::Range { from, to, limit, backwards } => {
                let rows = self.rows.range(from.clone()..to.clone()).map(|(key, row)| (key.clone(), row.clone()));
                if *backwards { rows.rev().take(*limit as usize).collect() } else { rows.take(*limit as usize).collect() }
            }
            Query::Keys { keys } => keys.iter().filter_map(|key| Some((key.clone(), self.rows.get(key)?.clone()))).collect(),
            other => panic!("no chat asks for {other:?}"),
        }
    }

    /// Opens a session.
    pub fn open(&mut self, opening: &Opening) -> Result<SessionId, Refusal> {
        self.credentials += 1;
        let mut credential = [0; 32];
        credential[..8].copy_from_slice(&self.credentials.to_be_bytes());
        let submission = Submission::Open { credential: Credential(credential), command: opening.encode() };
        let executed = self.bring(submission);
        let signed_in = decode_signed_in(&executed.outcome.expect("the table has room"));
        if signed_in.is_ok() {
            self.numbers.insert(executed.session, 0);
        }
        signed_in.map(|_| executed.session)
    }

    pub fn ask(&mut self, session: SessionId, command: &Command) -> Result<Done, Refusal> {
        let number = self.numbers.entry(session).or_default();
        *number += 1;
        let (number, command) = (*number, command.encode());
        let outcome = self.execute(session, number, command.clone());
        self.asked = Some(Asked { session, number, command, outcome: outcome.clone() });
        outcome
    }

    fn execute(&mut self, session: SessionId, number: u64, command: Bytes) -> Result<Done, Refusal> {
        let identity = Identity::Number(number);
        let executed = self.bring(Submission::Execute { session, identity, first_unacked: 1, command });
        Stage::answer(executed.outcome)
    }

    /// What the session asks next by way of an outbox, where it was written so many milliseconds ago. Whether it is withdrawn.
    pub fn carried(&mut self, session: SessionId, command: &Command, ago_ms: u64) -> (Result<Done, Refusal>, bool) {
        let asked = self.numbers.entry(session).or_default();
        let number = self.replica.next_number(session).unwrap_or(*asked + 1);
        *asked = number;
        let (outcome, withdrawn) = self.carried_as(session, Identity::Number(number), command, ago_ms);
        self.asked = Some(Asked { session, number, command: command.encode(), outcome: outcome.clone() });
        (outcome, withdrawn)
    }

    pub fn carried_as(
        &mut self,
        session: SessionId,
        identity: Identity,
        command: &Command,
        ago_ms: u64,
    ) -> (Result<Done, Refusal>, bool) {
        let (command, written_at) = (command.encode(), Timestamp(self.now.wall.0 - 1_000 * ago_ms));
        let before = self.refused.len();
        let executed = self.bring(Submission::Carried { session, identity, first_unacked: 1, command, written_at });
        let told = self.refused[before..].contains(&(session, identity));
        assert_eq!(executed.withdrawn, told, "what is withdrawn is told, and nothing else");
        (Stage::answer(executed.outcome), executed.withdrawn)
    }

    fn answer(outcome: Result<Bytes, SessionRefusal>) -> Result<Done, Refusal> {
        match outcome {
            Ok(reply) => decode_reply(&reply),
            Err(SessionRefusal::UnknownSession) => Err(Refusal::UnknownSession),
            Err(SessionRefusal::Closed) => Err(Refusal::LoggedOut),
            Err(SessionRefusal::Forgotten) => Err(Refusal::Forgotten),
            Err(SessionRefusal::KeyReused) => Err(Refusal::KeyReused),
            Err(SessionRefusal::KeyExpired) => Err(Refusal::KeyExpired),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Bytes that somebody calls a request. Whether the chat takes them for one; if so they are applied.
    pub fn raw(&mut self, submission: Submission) -> bool {
        self.now.instant += Duration::from_millis(1);
        match self.replica.offer(self.now, submission) {
            Offer::Taken => {
                self.pass();
                self.look();
                true
            }
            Offer::Known | Offer::Foreign => false,
            other => panic!("{other:?}"),
        }
    }

    pub fn house(&mut self, command: Bytes) {
        let before = self.replica.applied();
        assert_eq!(self.replica.offer(self.now, Submission::House { command }), Offer::Taken);
        self.pass();
        assert!(self.replica.applied() > before);
        self.look();
    }

    /// Does what is due until nothing is, and says how many commands it took.
    pub fn keep_house(&mut self) -> u32 {
        let mut commands = 0;
        while let Due::Now(command) = self.chat().due(self.now.wall, Timestamp(0)) {
            self.house(command);
            commands += 1;
            assert!(commands < 10_000, "what is due comes to an end");
        }
        commands
    }

    /// The answer to the last request was lost: it is asked again under its number, first of the table, then as another leader would have it, by the log.
    pub fn ask_again(&mut self) -> Result<Done, Refusal> {
        let Asked { session, number, command, outcome } = self.asked.clone().expect("something was asked");
        let (rows, events) = (self.chat_rows(), self.events.len());
        let known = self.replica.outcome(session, Slot::Number(number), digest(&command));
        let again = match known {
            Some(known) => decode_reply(&known.unwrap()),
            None => self.execute(session, number, command.clone()),
        };
        // Whoever logs itself out finds the session closed.
        assert!(again == outcome || matches!(again, Err(Refusal::LoggedOut | Refusal::Forgotten)), "{again:?} after {outcome:?}");
        self.restart();
        if let Some(known) = self.replica.outcome(session, Slot::Number(number), digest(&command)) {
            assert_eq!(decode_reply(&known.unwrap()), again);
        }
        assert_eq!((self.chat_rows(), self.events.len()), (rows, events), "a repetition changes nothing");
        again
    }

    /// The node starts again from its rows.
    pub fn restart(&mut self) {
        self.boots += 1;
        let mut restored = Restored::empty(Incarnation(1), Boot(self.boots));
        restored.rows = self.rows.iter().filter(|(key, _)| key[0] < COLD).map(|(key, row)| (key.clone(), row.clone())).collect();
        let applied: AppliedRow =
            tertulia_protocol::wire::open(tertulia_protocol::wire::Kind::Applied, &self.rows[APPLIED_KEY]).unwrap();
        (restored.applied, restored.start) = (applied.position, applied.position);
        restored.vote = Vote { term: self.replica.raft().term(), voted_for: None };
        self.replica = Replica::restore(&config(self.limits), &restored, Chat::new(self.limits), self.now).unwrap();
        let before = self.replica.applied();
        for _ in 0..100 {
            self.wait(100);
            if self.replica.raft().is_leader() && self.replica.applied() > before {
                return;
            }
        }
        panic!("one node alone leads itself");
    }

    fn pass(&mut self) {
        self.now.instant += Duration::from_millis(1);
        self.now.wall = self.now.wall.after_ms(1);
        self.drain();
    }

    fn bring(&mut self, submission: Submission) -> Executed {
        let before = self.chat_rows();
        self.executed.clear();
        assert_eq!(self.replica.offer(self.now, submission), Offer::Taken);
        self.pass();
        assert_eq!(self.executed.len(), 1, "one command, one outcome");
        let executed = self.executed.remove(0);
        let refused = match &executed.outcome {
            Err(_) => true,
            Ok(reply) => decode_reply(reply).is_err() && decode_signed_in(reply).is_err(),
        };
        if refused && self.looks {
            assert_eq!(before, self.chat_rows(), "what is refused changes nothing");
        }
        self.look();
        executed
    }

    fn chat_rows(&self) -> Rows {
        if !self.looks {
            return Rows::new();
        }
        self.rows.iter().filter(|(key, _)| key[0] >= CHAT).map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    /// Rows, memory and hash are three views of one chat.
    pub fn look(&self) {
        if !self.looks {
            return;
        }
        assert_eq!(hash_of(&self.rows), self.replica.hash(), "the hash is the sum over all rows");
        let warm: Vec<(Bytes, Bytes)> =
            self.rows.iter().filter(|(key, _)| key[0] < COLD).map(|(key, row)| (key.clone(), row.clone())).collect();
        let mut restored = Chat::new(self.limits);
        restored.restore(&warm).unwrap();
        let (restored, here) = (format!("{restored:?}"), format!("{:?}", self.chat()));
        if restored != here {
            let at = restored.bytes().zip(here.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(120);
            let part = |text: &str| text.chars().skip(at).take(400).collect::<String>();
            panic!("a chat from its rows is another one:\nrestored …{}\nhere     …{}", part(&restored), part(&here));
        }
        rules::hold(self);
    }
}

fn hash_of(rows: &Rows) -> StateHash {
    let rows = rows.iter().filter(|(key, _)| &key[..] != APPLIED_KEY);
    rows.fold(StateHash(0), |hash, (key, row)| hash.changed(key, None, Some(row)))
}

fn apply(rows: &mut Rows, batch: RowBatch) {
    for (key, row) in batch.rows {
        match row {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
    }
}
