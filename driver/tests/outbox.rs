//! A client's outbox in a file: torn, locked, compacted, restored from an old copy.

#![allow(clippy::unwrap_used)]

mod live;

use live::{Running, folder, run, voters};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tertulia_driver::{ClientEvent, ClientHandle, ClientRunner, Outbox, OutboxError, SystemClock, TokioNet};
use tertulia_protocol::chat::{Command, Done, RoomRef};
use tertulia_protocol::client::{Choice, Client, Config, Output, Status, Timing};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Answer, Ask, Token};

fn config() -> Config {
    let (token, seed, timing) = (Token([5; 32]), Seed(1), Default::default());
    Config {
        name: "ada".into(),
        how: Default::default(),
        device: String::new(),
        token,
        servers: 3,
        first: 0,
        seed,
        timing,
        window: 32,
    }
}

fn post(text: &str) -> Command {
    Command::Post { room: RoomRef::Name("lobby".into()), text: text.into() }
}

/// Writes what a machine wants kept.
fn write(client: &mut Client, outbox: &mut Outbox) {
    let mut changes = Vec::new();
    while let Some(output) = client.poll_output() {
        match output {
            Output::Keep { change, record } => changes.push((change, Some(record))),
            Output::Forget { change } => changes.push((change, None)),
            _ => {}
        }
    }
    outbox.write(&changes).unwrap();
}

/// An outbox with so many commands that were never sent.
fn filled(path: &Path, commands: u32) -> Client {
    let mut outbox = Outbox::open(path).unwrap();
    let mut client = Client::resume(config(), &outbox.records(), Now::default()).unwrap();
    for nth in 0..commands {
        client.submit(Now::default(), post(&format!("message {nth}"))).unwrap();
    }
    write(&mut client, &mut outbox);
    client
}

fn open_texts(path: &Path) -> usize {
    let outbox = Outbox::open(path).unwrap();
    Client::resume(config(), &outbox.records(), Now::default()).unwrap().unsettled() as usize
}

/// How an outbox begins.
const HEAD: usize = 16;

#[test]
fn wherever_the_file_is_torn_its_beginning_is_an_outbox() {
    let folder = folder();
    let path = folder.path().join("outbox");
    filled(&path, 3);
    let whole = fs::read(&path).unwrap();
    let mut seen = Vec::new();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let torn = Outbox::open(&path).unwrap().torn();
        let commands = open_texts(&path);
        seen.push(commands);
        let left = fs::metadata(&path).unwrap().len();
        assert_eq!(left, (length as u64 - torn).max(HEAD as u64), "the torn end is cut off");
        // What is appended after it is read again.
        filled(&path, 1);
        assert_eq!(open_texts(&path), commands + 1, "{length} bytes");
    }
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3]);
}

/// Where each frame begins, and where the last one ends.
fn frames(file: &[u8]) -> Vec<usize> {
    let mut at = vec![HEAD];
    while let Some(length) = file.get(at[at.len() - 1]..).and_then(|rest| rest.first_chunk()) {
        at.push(at[at.len() - 1] + 8 + u32::from_le_bytes(*length) as usize);
    }
    at
}

#[test]
fn damage_is_an_error_that_names_its_place_and_only_an_unfinished_end_is_cut_off() {
    let folder = folder();
    let path = folder.path().join("outbox");
    filled(&path, 3);
    let whole = fs::read(&path).unwrap();
    let begins = frames(&whole);
    assert_eq!((begins.len(), begins[begins.len() - 1]), (5, whole.len()), "the session, three commands");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let opened = Outbox::open(&path);
        if at >= begins[3] {
            let outbox = opened.unwrap();
            assert_eq!((outbox.records().len(), outbox.torn() as usize), (3, whole.len() - begins[3]), "byte {at}");
            continue;
        }
        let error = opened.unwrap_err();
        match &error {
            OutboxError::NotAnOutbox { .. } => assert!(at < HEAD - 1),
            OutboxError::Newer { version, .. } => assert_eq!((at, *version), (HEAD - 1, 0)),
            OutboxError::Damaged { byte, .. } => {
                assert_eq!(begins.iter().rfind(|begin| **begin <= at), Some(&(*byte as usize)), "byte {at}");
                let said = error.to_string();
                assert!(said.contains(&format!("outbox is damaged at byte {byte}: what waits in it was not sent")), "{said}");
            }
            other => panic!("byte {at}: {other}"),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "byte {at}: the file is as it was");
    }
    // No frame is so long: whatever this is, it is not the end of one.
    fs::write(&path, [&whole[..], &[7; 70_000]].concat()).unwrap();
    assert!(matches!(Outbox::open(&path).unwrap_err(), OutboxError::Damaged { byte, .. } if byte == whole.len() as u64));
}

#[test]
fn a_file_that_is_no_outbox_is_refused_and_stays_as_it_is() {
    let folder = folder();
    let path = folder.path().join("precious");
    let zeros = "\0".repeat(100);
    for letter in ["dear all ".repeat(1_000).as_str(), "x", "tertulia outbox of last year", "1\n2\n3\n4\n", &zeros] {
        fs::write(&path, letter).unwrap();
        let error = Outbox::open(&path).unwrap_err();
        assert!(matches!(error, OutboxError::NotAnOutbox { .. } | OutboxError::Newer { .. }), "{error}");
        assert!(error.to_string().contains("name another file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), letter);
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path() != path).count(),
        0,
        "no lock stays"
    );
    #[cfg(unix)]
    assert!(Outbox::open(Path::new("/dev/null")).is_err());
}

#[test]
fn an_outbox_of_the_form_without_a_head_is_read_and_written_anew() {
    let folder = folder();
    let path = folder.path().join("outbox");
    filled(&path, 2);
    let new = fs::read(&path).unwrap();
    fs::write(&path, &new[HEAD..]).unwrap();
    assert_eq!(open_texts(&path), 2);
    assert_eq!(fs::read(&path).unwrap(), new);
    // Also one whose end is torn; but not one that is damaged.
    fs::write(&path, &new[HEAD..new.len() - 5]).unwrap();
    assert_eq!(open_texts(&path), 1);
    let mut damaged = new[HEAD..].to_vec();
    let second = frames(&new)[1] - HEAD;
    damaged[second + 9] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(Outbox::open(&path).unwrap_err(), OutboxError::Damaged { byte, .. } if byte == second as u64));
    assert_eq!(fs::read(&path).unwrap(), damaged);
}

#[test]
fn two_processes_do_not_share_a_file() {
    let folder = folder();
    let path = folder.path().join("deep/er/outbox");
    let first = Outbox::open(&path).unwrap();
    let error = Outbox::open(&path).unwrap_err();
    assert!(matches!(error, OutboxError::InUse { .. }) && error.to_string().contains("another process"));
    drop(first);
    Outbox::open(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("outbox");
    let rights = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let everybody = || fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    filled(&path, 1);
    assert_eq!(rights(), 0o600);
    everybody();
    filled(&path, 1);
    assert_eq!(rights(), 0o600, "also where others could read it");
    fs::write(&path, "").unwrap();
    everybody();
    filled(&path, 1);
    assert_eq!(rights(), 0o600, "also where it was made by somebody else");
    fs::write(&path, "a letter").unwrap();
    everybody();
    Outbox::open(&path).unwrap_err();
    assert_eq!(rights(), 0o644, "what is no outbox is left alone");
}

#[test]
fn a_file_of_what_is_over_is_written_anew() {
    let folder = folder();
    let path = folder.path().join("outbox");
    let mut outbox = Outbox::open(&path).unwrap();
    let mut client = Client::resume(config(), &outbox.records(), Now::default()).unwrap();
    let mut largest = 0;
    for _ in 0..200 {
        let number = client.submit(Now::default(), post(&"x".repeat(2_000))).unwrap();
        write(&mut client, &mut outbox);
        largest = largest.max(fs::metadata(&path).unwrap().len());
        assert!(client.withdraw(Now::default(), number).is_some());
        write(&mut client, &mut outbox);
    }
    client.submit(Now::default(), post("the last")).unwrap();
    write(&mut client, &mut outbox);
    drop(outbox);
    assert!(largest < 80 << 10, "{largest}");
    let outbox = Outbox::open(&path).unwrap();
    let client = Client::resume(config(), &outbox.records(), Now::default()).unwrap();
    let open: Vec<(u64, Status)> = client.open().map(|(number, _, status)| (number, status)).collect();
    assert_eq!(open, [(201, Status::Waiting)], "numbers go on");
}

struct Cluster {
    nodes: Vec<Running>,
    servers: Vec<String>,
    _folders: Vec<TempDir>,
}

impl Cluster {
    async fn start() -> Cluster {
        let voters = voters(3);
        let folders: Vec<TempDir> = (0..3).map(|_| folder()).collect();
        let mut nodes = Vec::new();
        for (nth, folder) in folders.iter().enumerate() {
            nodes.push(run(nth as u64 + 1, &voters, folder).await);
        }
        Cluster { nodes, servers: voters.iter().map(|voter| voter.client_address.clone()).collect(), _folders: folders }
    }

    fn client(&self, path: &Path) -> ClientHandle {
        self.client_of(path, self.servers.clone())
    }

    fn client_of(&self, path: &Path, servers: Vec<String>) -> ClientHandle {
        // A fresh token each time: the outbox holds the one that counts.
        let config = Config { token: Token(rand::random()), ..config() };
        let runner = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers };
        let (handle, running) = runner.resume(Outbox::open(path).unwrap()).unwrap();
        tokio::spawn(running);
        handle
    }
}

/// Waits until the client that had the outbox has ended.
async fn released(path: &Path) {
    live::eventually("the outbox is free", async || Outbox::open(path).ok().map(drop)).await;
}

async fn next(client: &mut ClientHandle) -> ClientEvent {
    tokio::time::timeout(Duration::from_secs(20), client.next()).await.expect("something within 20 s").expect("it runs")
}

/// The outcome of the next command that settles.
async fn settled(client: &mut ClientHandle) -> (u64, Done) {
    loop {
        if let ClientEvent::Settled { number, result } = next(client).await {
            return (number, result.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_a_process_ended_is_posted_once_by_the_next() {
    let cluster = Cluster::start().await;
    let folder = folder();
    let path = folder.path().join("outbox");
    let mut first = cluster.client(&path);
    first.submit(Command::CreateRoom { name: "lobby".into() }).await.unwrap();
    assert!(matches!(settled(&mut first).await, (1, Done::Room { .. })));
    // Sent, and the process ends before any answer.
    first.submit(post("sent")).await.unwrap();
    drop(first);
    released(&path).await;
    // Nobody is there: what is submitted waits, and one of it is thought better of.
    let nowhere = cluster.client_of(&path, vec!["127.0.0.1:9".into()]);
    nowhere.submit(post("waits")).await.unwrap();
    let number = nowhere.submit(post("never mind")).await.unwrap();
    assert_eq!(nowhere.withdraw(number).await, Some(post("never mind")));
    drop(nowhere);
    released(&path).await;
    let mut second = cluster.client(&path);
    let open: Vec<Command> = second.open().await.into_iter().map(|(_, command, _)| command).collect();
    assert_eq!(open, [post("sent"), post("waits")]);
    second.submit(post("new")).await.unwrap();
    let mut places = Vec::new();
    for _ in 0..3 {
        let (_, Done::Posted { seq, .. }) = settled(&mut second).await else { panic!("a post") };
        places.push(seq);
    }
    assert_eq!(places, [1, 2, 3], "once each, in order");
    for node in cluster.nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_that_is_restored_from_an_old_copy_posts_nothing_twice() {
    let cluster = Cluster::start().await;
    let folder = folder();
    let path = folder.path().join("outbox");
    let mut client = cluster.client(&path);
    client.submit(Command::CreateRoom { name: "lobby".into() }).await.unwrap();
    settled(&mut client).await;
    drop(client);
    released(&path).await;
    // A command waits in the copy. Its newer self posts it, and one more.
    let nowhere = cluster.client_of(&path, vec!["127.0.0.1:9".into()]);
    nowhere.submit(post("waits in the copy")).await.unwrap();
    drop(nowhere);
    released(&path).await;
    let copy = fs::read(&path).unwrap();
    let mut client = cluster.client(&path);
    settled(&mut client).await;
    client.submit(post("after the copy")).await.unwrap();
    assert!(matches!(settled(&mut client).await.1, Done::Posted { seq: 2, .. }));
    drop(client);
    released(&path).await;
    fs::write(&path, &copy).unwrap();
    let mut client = cluster.client(&path);
    let fresh = client.submit(post("after the restore")).await.unwrap();
    let (mut is_unclear, mut place) = (false, None);
    while place.is_none() {
        match next(&mut client).await {
            ClientEvent::Unclear { .. } => is_unclear = true,
            ClientEvent::Settled { number, result: Ok(Done::Posted { seq, .. }) } if number == fresh => place = Some(seq),
            ClientEvent::Settled { result: Ok(_), .. } => panic!("what may have been sent is not sent again"),
            _ => {}
        }
    }
    assert_eq!((is_unclear, place), (true, Some(3)));
    for node in cluster.nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_probes_its_servers_moves_between_them_and_loses_nothing() {
    let cluster = Cluster::start().await;
    let ms = Duration::from_millis;
    // Whatever is better by anything is moved to, at once: servers that are alike are left all the time.
    let choice = Choice {
        measure: ms(10),
        probe: ms(10),
        stay: ms(50),
        gain: ms(0),
        gain_percent: 0,
        in_a_row: 1,
        spread: ms(10),
        ..Choice::default()
    };
    let timing = Timing { choice: Some(choice), ..Timing::default() };
    let config = Config { token: Token(rand::random()), timing, ..config() };
    let runner = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers: cluster.servers.clone() };
    let (mut client, running) = runner.start();
    tokio::spawn(running);
    client.submit(Command::CreateRoom { name: "lobby".into() }).await.unwrap();
    settled(&mut client).await;
    let (mut used, mut next_seq) = (std::collections::BTreeSet::new(), 1);
    client.submit(post("first")).await.unwrap();
    while used.len() < 2 || next_seq < 50 {
        match next(&mut client).await {
            ClientEvent::SignedIn { server, .. } => drop(used.insert(server)),
            ClientEvent::Settled { result, .. } => {
                assert!(matches!(result, Ok(Done::Posted { seq, .. }) if seq == next_seq), "{result:?} at {next_seq}");
                next_seq += 1;
                client.submit(post("next")).await.unwrap();
            }
            _ => {}
        }
    }
    let asked = client.ask(Ask::Load).await.unwrap();
    loop {
        match next(&mut client).await {
            ClientEvent::Answered { ask, result } if ask == asked => {
                assert!(matches!(result, Ok(Answer::Load { permille: 0..=1_000 })), "{result:?}");
                break;
            }
            _ => {}
        }
    }
    for node in cluster.nodes {
        node.stop().await;
    }
}
