//! The command line.

use crate::driven::Driven;
use crate::peers::{Peer, parse_address, parse_peer, parse_url};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use tertulia_protocol::chat::SignIn;
use tertulia_protocol::succession::Policy;

/// A replicated group chat. Three nodes need nothing beside them; any one of them may die at any moment.
#[derive(Parser, Debug)]
#[command(name = "node", version, about, after_help = "Without a command: node demo")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a whole cluster on this machine, with a web page
    Demo(Demo),
    /// Run one node
    Serve(Box<Serve>),
    /// Post to a room: one message, or each line of standard input
    Send(Send),
    /// Follow a room
    Tail(Tail),
    /// Show members, leader and who leads next
    Status(Status),
    /// Let a member vote, or say how many shall
    Add(Add),
    /// Take a member out of the cluster, for good
    Remove(Remove),
    /// Let another node lead
    Transfer(Transfer),
    /// Say who should lead next
    Succession(Succession),
    /// Show what holds for the chat of the whole cluster, or change it
    Settings(Settings),
    /// Keep all that a node holds in a file, while it goes on
    Backup(Backup),
    /// Begin a new cluster with all that a backup holds
    Restore(Restore),
    /// Chat in the terminal
    Chat(Chat),
    /// Measure a cluster under load
    Bench(Bench),
}

#[derive(Args, Debug)]
#[command(after_help = "\
For each node one line is printed: its name, where clients reach it, its process.
A second start on the same --data is the same cluster. Each node logs to DIR/node-N/node.log.")]
pub struct Demo {
    /// How many nodes; by default as many as --data holds, or 3
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=99))]
    pub nodes: Option<u16>,
    /// The first node's HTTP port, the others' follow; peers use these ports + 1000. By default what --data was made with, or 8081
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64000))]
    pub http_base: Option<u16>,
    /// Where the nodes keep their data
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// Stop by itself after this time, for example 90s or 5min
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub for_: Option<Duration>,
    /// Start a node again when it ends by itself
    #[arg(long)]
    pub restart: bool,
    /// Where the cluster page's buttons go, on loopback, behind a key that is drawn at each start. By default one below the first node's HTTP port, or a free one if that is taken
    #[arg(long, value_name = "PORT")]
    pub control_port: Option<u16>,
}

impl Default for Demo {
    fn default() -> Demo {
        Demo { nodes: None, http_base: None, data: "data".into(), for_: None, restart: false, control_port: None }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
A new cluster of three nodes, each on its own machine; --peers and the secret file are the same on all of them:

  openssl rand -hex 32 > secret
  node serve --id 1 --listen 0.0.0.0:8081 --peer-listen 0.0.0.0:9081 --data /var/lib/tertulia --secret-file secret \\
    --peers 1=10.0.0.1:9081=http://10.0.0.1:8081,2=10.0.0.2:9081=http://10.0.0.2:8081,3=10.0.0.3:9081=http://10.0.0.3:8081

One more, with an empty folder; it learns the rest from the cluster and votes once `node add N` says so. With --replace 2 it takes node 2's place by itself:

  node serve --join http://10.0.0.1:8081,http://10.0.0.2:8081 --data /var/lib/tertulia --secret-file secret \\
    --listen 0.0.0.0:8081 --advertise http://10.0.0.4:8081 --peer-listen 0.0.0.0:9081 --advertise-peer 10.0.0.4:9081

Every later start needs only --data and --secret-file. A node that is asked to stop (SIGTERM, Ctrl-C) hands over first if it leads.
Peers and clients are not encrypted: keep the peers' ports on a network of their own, put TLS in front of --listen.
Exit status: 0 stopped on request, 1 could not start, 2 wrong arguments, 3 the node halted itself and says why.")]
pub struct Serve {
    /// A node of a new cluster: its id, a number from 1, never used again for another data folder
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub id: Option<u64>,
    /// Where clients reach it: HTTP, WebSocket and the framed protocol on one port. By default as at the last start, or 127.0.0.1:8081
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where the other nodes reach it. By default as at the last start, or 127.0.0.1:9081
    #[arg(long, value_name = "HOST:PORT")]
    pub peer_listen: Option<String>,
    /// This node's data folder
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// All nodes of a new cluster, this one too, with the addresses for peers and for clients. Members that came or went later stand in the log, which counts
    #[arg(long, value_name = "ID=HOST:PORT=URL,…", value_delimiter = ',', value_parser = parse_peer)]
    pub peers: Vec<Peer>,
    /// Join the cluster that these nodes are of, instead of --id and --peers; does no harm when this node has joined already
    #[arg(long, value_name = "URL,…", value_delimiter = ',', value_parser = parse_url, conflicts_with_all = ["id", "peers"])]
    pub join: Vec<String>,
    /// Take the place of this voter as soon as all messages are here: its machine or folder is lost, or it shall go. If it still runs, its process stops then, for good
    #[arg(long, value_name = "N", requires = "join", value_parser = clap::value_parser!(u64).range(1..))]
    pub replace: Option<u64>,
    /// Where the other nodes reach a node that joins, if that is not --peer-listen
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    pub advertise_peer: Option<String>,
    /// Where clients reach a node that joins, if that is not --listen
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub advertise: Option<String>,
    /// Who should lead next, until `node succession` has said it: ring, central, or fixed:2,1,3
    #[arg(long, value_name = "POLICY", default_value = "ring")]
    pub succession: Policy,
    /// Let the leader answer reads on a lease, without asking the others each time, if no two clocks run apart by more than this, for example 0.1%.
    /// The same at every start of every node: nodes that do not agree do not talk to each other
    #[arg(long, value_name = "PERCENT", value_parser = drift)]
    pub lease_drift: Option<u32>,
    /// What a new cluster begins with, as for `node settings`; may be given several times. Later it counts no more
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
    /// How people sign in when the cluster is founded: open, guests, accounts or invite (docs/API.md); later it is a setting
    #[arg(long, value_name = "HOW", default_value = "open", value_parser = sign_in)]
    pub sign_in: SignIn,
    /// The file with the cluster's secret: at least 32 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    pub secret_file: PathBuf,
    /// Write down what this node does, for `sim judge` (docs/FACTS.md): each restart goes on with the same file. It costs a write for each batch of work
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
    /// The largest that the file of --facts may grow; then it says so, and no more is written
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20), requires = "facts")]
    pub facts_limit: u64,
    /// End when standard input ends, and with the process that started this one
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
    #[command(flatten)]
    pub driven: Driven,
    /// A known bug to run with
    #[cfg(feature = "zoo")]
    #[arg(long, hide = true, value_name = "NAME", value_parser = bug)]
    pub bug: Option<tertulia_protocol::zoo::Bug>,
}

#[cfg(feature = "zoo")]
fn bug(name: &str) -> Result<tertulia_protocol::zoo::Bug, String> {
    use tertulia_protocol::zoo::Bug;
    Bug::ALL.iter().copied().find(|bug| bug.name() == name).ok_or_else(|| "no bug has this name".into())
}

/// Which servers a client may use.
#[derive(Args, Debug)]
pub struct Servers {
    /// A node's address; give several and the client moves to another one when one dies
    #[arg(long = "server", value_name = "URL", value_parser = parse_url,
          default_values = ["http://127.0.0.1:8081", "http://127.0.0.1:8082", "http://127.0.0.1:8083"])]
    pub urls: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Prints `ROOM SEQ ID` for each message once a majority of the nodes holds it for good; with --json an object: line, state (committed, accepted, refused, unclear,
unconfirmed, unreadable), room, room_id, seq, id, at, why. The room is made if there is none. Blank lines of standard input are left out.

  make 2>&1 | node send --name builder build
  node send --name cron --outbox ~/.cron.outbox --key backup-2026-03-14 ops \"backup done\"     posts once, however often it is run

Without an outbox the session is logged out at the end. Exit status: 0 every message is committed (with --accepted: or accepted), 1 it could not begin or go on, or a
line was no UTF-8 (the others are sent), 2 wrong arguments, 3 the cluster refused a message, the room or the sign-in, 4 something is not known to be done: no server
or no majority was reached in time. docs/TERMINAL.md says more.")]
pub struct Send {
    #[command(flatten)]
    pub servers: Servers,
    /// Who posts
    #[arg(long)]
    pub name: String,
    /// The first line of this file is the password, where the cluster wants one
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The room's name or id
    pub room: String,
    /// The message; without it each line of standard input is one
    pub text: Option<String>,
    /// One JSON object a line, also for what was refused
    #[arg(long)]
    pub json: bool,
    /// Answer this message of the room
    #[arg(long, value_name = "N")]
    pub reply_to: Option<u64>,
    /// Give up when nothing has been acknowledged for so long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub patience: Duration,
    /// Keep what was read here until it is acknowledged, with the session's token. The next send with the same file and name posts first what
    /// an earlier one could not, once, and prints it with the room's id. One process at a time
    #[arg(long, value_name = "FILE")]
    pub outbox: Option<PathBuf>,
    /// Post each message once, however often the same is sent with this key and this --outbox within 24 hours; lines of standard input are told apart by their numbers
    #[arg(long, value_name = "KEY", requires = "outbox", value_parser = key)]
    pub key: Option<String>,
    /// Be content with messages that a side without a majority has accepted: they are printed with ~ in the place of their number, and committed or refused later.
    /// That needs a session which the node knows: an --outbox that was used before, or a command that runs since before the majority was lost
    #[arg(long)]
    pub accepted: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
  node tail --name reader lobby                             the last 10 messages, then what comes
  node tail --name bot --json --resume bot.cursors lobby dev | ./bot      every message once, over restarts of both

Exit status: 0 ended by Ctrl-C, SIGTERM, --no-follow, or because nobody reads the output any more; 1 it could not begin or go on, or --resume
and --from are ahead of the cluster, 2 wrong arguments, 3 the cluster refused the sign-in or a room, 4 no server was reached in time. docs/TERMINAL.md describes the JSON.")]
pub struct Tail {
    #[command(flatten)]
    pub servers: Servers,
    /// Who reads; joins the rooms
    #[arg(long)]
    pub name: String,
    /// The first line of this file is the password, where the cluster wants one
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The rooms' names or ids
    #[arg(required = true, value_name = "ROOM")]
    pub rooms: Vec<String>,
    /// How many earlier messages of each room to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub last: u32,
    /// Go on with what comes; so it does without this, too
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// End when what there is was printed
    #[arg(long, conflicts_with = "follow")]
    pub no_follow: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Also what is no message: edits, deletions, reactions, who came and left
    #[arg(long)]
    pub changes: bool,
    /// Begin after this event of the room ("cursor" in the JSON)
    #[arg(long, value_name = "CURSOR")]
    pub from: Option<u64>,
    /// Begin where this file says, and write into it how far the lines have come, after they are written. It is made if there is none
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Give up when no server lets us in for so long; by default never, with --no-follow after 60s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub patience: Option<Duration>,
    /// Also messages that wait for a majority, behind a ~ (in JSON: "state": "tentative"); each comes again when it is committed. Without this, committed ones only
    #[arg(long)]
    pub tentative: bool,
}

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub servers: Servers,
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
On a terminal this is a whole screen: rooms, messages, members. F1 shows all keys and commands; the most used ones:

  Enter sends, Alt-Enter begins a new line     Tab completes names, /commands, #rooms, :emoji
  PgUp PgDn scroll through the history         Esc selects messages: R answers, E edits, + reacts, D deletes
  Alt-1 … Alt-9, Ctrl-N, Ctrl-P other rooms    Alt-A the next one with something unread, Ctrl-K one by its letters
  /join ROOM, /msg USER, /search WORDS, /help  Ctrl-D or /quit ends

It is in the terminal's own colours; with NO_COLOR in the environment without any. What you write is kept on disk until it has its place in the room, whatever
happens to the servers or to this process. Without a majority it is accepted all the same, if the room's rules allow it: it is marked with ~, shown to everybody on this
side, and gets its place when the others are back.

With --plain, or when input or output is no terminal, it works by lines: each one is posted; /help names the commands. docs/TERMINAL.md says everything.
Exit status: 0 ended by the user, 1 could not go on and says why, 2 wrong arguments, 3 refused by the cluster.")]
pub struct Chat {
    #[command(flatten)]
    pub servers: Servers,
    /// Who you are; by default whoever is logged in here ($USER)
    #[arg(long = "user", visible_alias = "name", value_name = "NAME")]
    pub user: Option<String>,
    /// The room to begin with, by its name or id; it is made if there is none. Without it the one where something is unread, or the first; by lines, lobby
    pub room: Option<String>,
    /// By lines, not on a whole screen
    #[arg(long)]
    pub plain: bool,
    /// Let the mouse choose rooms and scroll; the terminal's own selection then takes Shift
    #[arg(long)]
    pub mouse: bool,
    /// Ring the terminal's bell when somebody names you
    #[arg(long)]
    pub bell: bool,
    /// Where what you write is kept until it is acknowledged, in a file for each user and cluster. By default $XDG_STATE_HOME/tertulia or ~/.local/state/tertulia
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Keep nothing: what is not acknowledged at the end is lost
    #[arg(long, conflicts_with = "state")]
    pub forget: bool,
    /// The first line of standard input is the password, where the cluster wants one, and it works by lines; without this it is asked for
    #[arg(long)]
    pub password_stdin: bool,
    /// A new account of this name, with this password
    #[arg(long)]
    pub register: bool,
    /// The code of an invitation, where registering takes one
    #[arg(long, value_name = "CODE", requires = "register")]
    pub invite: Option<String>,
}

/// Which cluster an operator speaks to, and how.
#[derive(Args, Debug)]
pub struct Operator {
    #[command(flatten)]
    pub servers: Servers,
    /// The file with the cluster's secret; the secret itself is never sent
    #[arg(long, value_name = "FILE", default_value = "data/secret")]
    pub secret_file: PathBuf,
    /// Give up when it is not done after so long; asking again later does no harm
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub patience: Duration,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A node that joins with `node serve --join` is a learner: it holds everything and has no say. This gives it one, once it has caught up.

  node add 4             node 4 votes
  node add --voters 5    learners become voters by themselves until five vote

An odd number of voters is best: 3 go on without 1, 5 without 2. Exit status: 0 only if it is so now.")]
pub struct Add {
    /// The learner that shall vote
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..), required_unless_present = "voters", conflicts_with = "voters")]
    pub node: Option<u64>,
    /// So many shall vote: learners that have caught up are taken by themselves, also those that join later
    #[arg(long, value_name = "K")]
    pub voters: Option<u16>,
    #[command(flatten)]
    pub operator: Operator,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Its process stops by itself. Its id and its data folder are never members again; a new node joins with an empty folder.
To replace a lost node, do not remove it first: `node serve --join URL --replace N` keeps the number of voters.
Exit status: 0 only if it is so now.")]
pub struct Remove {
    /// The member that goes
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub node: u64,
    #[command(flatten)]
    pub operator: Operator,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Under the policy `central` or `fixed` another node may take over again, if it is better placed. Exit status: 0 only if it is so now.")]
pub struct Transfer {
    /// The voter that shall lead
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub node: u64,
    #[command(flatten)]
    pub operator: Operator,
}

#[derive(Args, Debug)]
#[command(after_help = "\
  ring           the voters by id, beginning after the leader; a leader never hands over by itself
  central        whoever reaches a majority fastest, as measured; `node status` shows the figures
  fixed:2,1,3    node 2 if it can, else node 1, …; those that are not named follow by id

It costs time at most, never a message. Exit status: 0 only if it is so now.")]
pub struct Succession {
    pub policy: Policy,
    #[command(flatten)]
    pub operator: Operator,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Without a KEY=VALUE it prints what is so now. Values are JSON; text needs no quotes.

  node settings sign_in=accounts devices=2 idle_ms=86400000 --secret-file secret
  node settings rules.history=since-join rules.edits=false --secret-file secret
  node settings 'rules.history={\"last\":100}' rates.room='{\"per_second\":20,\"burst\":50}' --secret-file secret

  sign_in          open (a name is enough), guests (each sign-in is a new user), accounts (a password), invite (a password, and a code to register)
  devices          from how many devices one user may be signed in; 0 for any number
  idle_ms          a session without a sign of life for so long is closed; 0 for never
  direct           anybody or friends: with whom direct rooms may be opened
  erase            whether deleting an account takes the text of its messages away
  admins_make_rooms, rules (of rooms made without any), rates

Exit status: 0 only if it is so now.")]
pub struct Settings {
    #[arg(value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub changes: Vec<(String, String)>,
    #[command(flatten)]
    pub operator: Operator,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.into(), value.into()))
}

#[derive(Args, Debug)]
#[command(after_help = "\
The first --server that answers gives it, and serves its clients meanwhile. It is all that this node holds at one moment: everything that was acknowledged before the
command was given, unless a note says that the node is behind. The file appears when it is whole and on the disk, readable by its owner alone: it holds everybody's messages.

  node backup monday.backup --server http://10.0.0.2:8081 --secret-file secret
  node backup --verify monday.backup       is it still as it was written?

--patience is for how long a node is looked for that begins to send; what it sends may take as long as it takes. docs/BACKUP.md says more.
Exit status: 0 only if the file is there and whole.")]
pub struct Backup {
    /// Where to keep it, or with --verify the file to check
    pub file: PathBuf,
    /// Replace the file if it is there
    #[arg(long, conflicts_with = "verify")]
    pub force: bool,
    /// Take no backup: read the file, and compare every checksum and its rows with the state that it names
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub operator: Operator,
}

#[derive(Args, Debug)]
#[command(after_help = "\
The new cluster has one node, which votes alone. Users, sessions, rooms and messages are those of the backup; what was written after it is gone. The secret must not be the
old cluster's, so that no node of the old one takes part in the new one.

  openssl rand -hex 32 > new-secret
  node restore monday.backup --id 1 --data /var/lib/tertulia --secret-file new-secret --listen 0.0.0.0:8081 --advertise http://10.0.0.1:8081 \\
    --peer-listen 0.0.0.0:9081 --advertise-peer 10.0.0.1:9081
  node serve --data /var/lib/tertulia --secret-file new-secret

Others join it with `node serve --join http://10.0.0.1:8081 …`, and vote after `node add --voters 3`. Nothing is written if the backup is damaged.
Exit status: 0 only if the folder is there and whole. docs/BACKUP.md says more.")]
pub struct Restore {
    /// The backup
    pub file: PathBuf,
    /// The new node's data folder: empty, or not there
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The new node's id, a number from 1; it need not be the one that the backup is of
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub id: u64,
    /// Where clients will reach it; 127.0.0.1:8081 if it is not said
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where the other nodes will reach it; 127.0.0.1:9081 if it is not said
    #[arg(long, value_name = "HOST:PORT")]
    pub peer_listen: Option<String>,
    /// Where the other nodes reach it, if that is not --peer-listen
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    pub advertise_peer: Option<String>,
    /// Where clients reach it, if that is not --listen
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub advertise: Option<String>,
    /// The file with the new cluster's secret: at least 32 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    pub secret_file: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Each writer is a user with a connection of its own, one message under way, posting the next one when it is acknowledged: when a majority of the
nodes has it on disk. A writer whose server dies, falls silent or knows no leader sends the same message again at the next one; it is posted once.
With --json: acks_per_s, p50_ms, p99_ms, p999_ms, max_ms, acks, errors (attempts that had to be repeated) and longest_gap_ms (the longest time
without an acknowledgement to any writer). Exit status: 0 if anything was acknowledged. The messages stay in rooms bench-1, bench-2, …")]
pub struct Bench {
    /// The servers; the writers are spread over them
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', value_parser = parse_address,
          default_value = "127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083")]
    pub connect: Vec<String>,
    /// How many write at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub writers: u32,
    /// The length of a message's text
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub size: u32,
    /// For how long to measure
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// For how long to write before measuring
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub warmup: Duration,
    /// How many rooms the writers are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rooms: u32,
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// As over HTTP.
fn key(text: &str) -> Result<String, String> {
    if (1..=200).contains(&text.len()) { Ok(text.into()) } else { Err("a key has 1 to 200 bytes".into()) }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: write for example 90s or 5min"))
}

fn sign_in(text: &str) -> Result<SignIn, String> {
    Ok(match text {
        "open" => SignIn::Open,
        "guests" => SignIn::Guests,
        "accounts" => SignIn::Accounts,
        "invite" => SignIn::Invite,
        _ => return Err("write open, guests, accounts or invite".into()),
    })
}

/// A bound of drift, in millionths.
fn drift(text: &str) -> Result<u32, String> {
    let bad = || format!("\"{text}\" is no drift from 0% to 10%: write for example 0.1%");
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().map_err(|_| bad())?;
    if (0.0..=10.0).contains(&percent) { Ok((percent * 10_000.0).round() as u32) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_list_of_peers_is_cut_at_its_commas() {
        let line = "node serve --id 1 --data d --secret-file s --peers 1=a:1=http://a:11,2=b:2=http://b:12";
        let Some(Command::Serve(serve)) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(serve.peers.len(), 2);
        assert_eq!(serve.peers[1].peer_address, "b:2");
    }

    #[test]
    fn operators_say_what_they_mean_in_one_way() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string());
        let Some(Command::Serve(serve)) =
            parse("node serve --join http://a:1,http://b:2/ --replace 3 --succession fixed:2,1 --data d --secret-file s")
                .unwrap()
                .command
        else {
            panic!()
        };
        assert_eq!(serve.join, ["http://a:1", "http://b:2"]);
        assert_eq!(serve.succession.to_string(), "fixed:2,1");
        assert!(parse("node serve --join http://a:1 --id 3 --data d --secret-file s").unwrap_err().contains("--id"));
        assert!(parse("node serve --replace 3 --data d --secret-file s").unwrap_err().contains("--join"));
        assert!(parse("node add").is_err() && parse("node add 3 --voters 5").is_err());
        assert!(parse("node add --voters 5").is_ok() && parse("node remove 2 --server http://h:1").is_ok());
        assert!(parse("node succession rong").unwrap_err().contains("write ring, central"));
    }

    #[test]
    fn a_drift_is_a_small_percentage() {
        assert_eq!((drift("0.1%"), drift("0"), drift("10 %")), (Ok(1_000), Ok(0), Ok(100_000)));
        assert!(drift("11%").unwrap_err().contains("0.1%") && drift("-1%").is_err() && drift("much").is_err());
    }

    #[test]
    fn durations_are_humane() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").unwrap_err().contains("90s"));
    }
}
