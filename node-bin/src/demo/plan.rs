//! What a demo's folder holds: how many nodes on which ports, their data, their secret. The same folder is the same cluster.

use crate::cli::Demo;
use crate::driven::{Key, Wanted};
use crate::peers::Peer;
use crate::secret;
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tertulia_protocol::ids::NodeId;

const NODES: u16 = 3;
const HTTP_BASE: u16 = 8081;
/// Peers listen so far above their node's HTTP port.
const PEER_OFFSET: u16 = 1_000;
/// A cluster that has just been killed may hold its ports for a moment.
const PORT_PATIENCE: Duration = Duration::from_millis(1_500);

/// How the nodes were set up when the folder was made; kept in it as `demo.json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Shape {
    nodes: u16,
    http_base: u16,
}

#[derive(Clone, Debug)]
pub struct Plan {
    dir: PathBuf,
    shape: Shape,
    /// Whether the folder held a cluster before.
    pub again: bool,
    /// The port of the control, once it is bound.
    control_port: u16,
}

impl Plan {
    /// Opens the folder, or makes it.
    pub fn open(args: &Demo) -> Result<Plan, String> {
        let fail = |error| format!("cannot use {}: {error}; choose another folder with --data", args.data.display());
        fs::create_dir_all(&args.data).map_err(fail)?;
        let dir = fs::canonicalize(&args.data).map_err(fail)?;
        let found = Shape::read(&dir)?;
        let shape = match found {
            Some(found) => found.check(args, &dir)?,
            None => Shape { nodes: args.nodes.unwrap_or(NODES), http_base: args.http_base.unwrap_or(HTTP_BASE) },
        };
        Ok(Plan { dir, shape, again: found.is_some(), control_port: 0 })
    }

    /// Makes what is missing: the secret, the nodes' folders, `demo.json`, and the file with this start's key.
    pub fn prepare(&self, key: &Key) -> Result<(), String> {
        let fail = |error| format!("cannot write to {}: {error}", self.dir.display());
        secret::create(&self.secret())?;
        for node in self.nodes() {
            fs::create_dir_all(self.node_dir(node)).map_err(fail)?;
        }
        secret::replace(&self.control_key(), key.text()).map_err(fail)?;
        if !self.again {
            let text = serde_json::to_string(&self.shape).map_err(|error| error.to_string())?;
            fs::write(self.dir.join("demo.json"), text + "\n").map_err(fail)?;
        }
        Ok(())
    }

    /// Listens for the cluster page's buttons, on loopback. If nobody has said where, and the usual port is taken, it is another one, and a sentence says so.
    ///
    /// # Errors
    /// The port that was asked for is taken, or none is free.
    pub async fn bind_control(&mut self, asked: Option<u16>) -> Result<(tokio::net::TcpListener, Option<String>), String> {
        let usual = self.shape.http_base - 1;
        let bind = async |port| tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let cannot = |port: u16, error: &std::io::Error| format!("port {port}, for the demo's control, cannot be used: {error}");
        let (listener, warning) = match (asked, bind(asked.unwrap_or(usual)).await) {
            (_, Ok(listener)) => (listener, None),
            (Some(port), Err(error)) => {
                return Err(format!(
                    "{}; stop what listens there, or choose another port with --control-port",
                    cannot(port, &error)
                ));
            }
            (None, Err(error)) => {
                let listener = bind(0).await.map_err(|error| format!("no port for the demo's control: {error}"))?;
                let port = listener.local_addr().map_err(|error| error.to_string())?.port();
                (listener, Some(format!("{}; it is {port} instead (--control-port chooses)", cannot(usual, &error))))
            }
        };
        self.control_port = listener.local_addr().map_err(|error| error.to_string())?.port();
        Ok((listener, warning))
    }

    /// Says which port is taken, before anything is started.
    pub async fn check_ports(&self) -> Result<(), String> {
        let attempts = PORT_PATIENCE.as_millis() / 100;
        for attempt in 0..=attempts {
            match self.taken_port() {
                None => return Ok(()),
                Some(taken) if attempt == attempts => return Err(taken),
                Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Ok(())
    }

    fn taken_port(&self) -> Option<String> {
        self.nodes().find_map(|node| {
            [(self.http_port(node), "HTTP"), (self.peer_port(node), "peers")].into_iter().find_map(|(port, what)| {
                let error = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).err()?;
                let advice = if self.again {
                    format!(
                        "stop what listens there (the nodes in {} keep their ports; another cluster needs another --http-base and --data)",
                        self.dir.display()
                    )
                } else {
                    "stop what listens there, or choose other ports with --http-base".into()
                };
                Some(format!("port {port}, for {what} of node {node}, cannot be used: {error}; {advice}"))
            })
        })
    }

    /// Node numbers, from 1.
    pub fn nodes(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.shape.nodes
    }

    pub fn http_port(&self, node: u16) -> u16 {
        self.shape.http_base + node - 1
    }

    pub fn peer_port(&self, node: u16) -> u16 {
        self.http_port(node) + PEER_OFFSET
    }

    pub fn url(&self, node: u16) -> String {
        format!("http://127.0.0.1:{}", self.http_port(node))
    }

    pub fn node_dir(&self, node: u16) -> PathBuf {
        self.dir.join(format!("node-{node}"))
    }

    pub fn log(&self, node: u16) -> PathBuf {
        self.node_dir(node).join("node.log")
    }

    pub fn secret(&self) -> PathBuf {
        self.dir.join("secret")
    }

    fn control_key(&self) -> PathBuf {
        self.dir.join("control-key")
    }

    /// The key opens nothing any more.
    pub fn clear(&self) {
        let _ = fs::remove_file(self.control_key());
    }

    /// What `node serve` is called with for this node.
    pub fn arguments(&self, node: u16, wanted: &Wanted) -> Vec<String> {
        let peers: Vec<String> = self
            .nodes()
            .map(|node| {
                let peer_address = format!("127.0.0.1:{}", self.peer_port(node));
                Peer { id: NodeId(node.into()), peer_address, client_url: self.url(node) }.to_string()
            })
            .collect();
        let arguments = [
            "serve".into(),
            format!("--id={node}"),
            format!("--listen=127.0.0.1:{}", self.http_port(node)),
            format!("--peer-listen=127.0.0.1:{}", self.peer_port(node)),
            format!("--peers={}", peers.join(",")),
            format!("--data={}", self.node_dir(node).display()),
            format!("--secret-file={}", self.secret().display()),
            format!("--control=http://127.0.0.1:{}", self.control_port),
            format!("--control-key={}", self.control_key().display()),
        ];
        let mut arguments: Vec<String> = arguments.into();
        if !wanted.cut.is_empty() {
            let cut: Vec<String> = wanted.cut.iter().map(u64::to_string).collect();
            arguments.push(format!("--cut-off={}", cut.join(",")));
        }
        if wanted.sync_delay_ms > 0 {
            arguments.push(format!("--sync-delay={}", wanted.sync_delay_ms));
        }
        arguments
    }
}

impl Shape {
    fn read(dir: &Path) -> Result<Option<Shape>, String> {
        let path = dir.join("demo.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let bad = |error| {
            format!(
                "{} is damaged ({error}): write {{\"nodes\":3,\"http_base\":8081}} with this cluster's numbers",
                path.display()
            )
        };
        serde_json::from_str(&text).map(Some).map_err(bad)
    }

    /// A cluster's size and addresses stand in its log: a start cannot change them.
    fn check(self, args: &Demo, dir: &Path) -> Result<Shape, String> {
        let dir = dir.display();
        if let Some(nodes) = args.nodes.filter(|nodes| *nodes != self.nodes) {
            return Err(format!(
                "{dir} holds a cluster of {} nodes, not {nodes}: leave out --nodes to start it, or make a new cluster with another --data",
                self.nodes
            ));
        }
        if let Some(base) = args.http_base.filter(|base| *base != self.http_base) {
            return Err(format!(
                "{dir} holds a cluster whose ports begin at {}, not {base}: leave out --http-base to start it, or make a new cluster with another --data",
                self.http_base
            ));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_the_shape_of_its_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let args = |nodes, http_base| Demo { nodes, http_base, data: dir.path().join("d"), ..Demo::default() };
        let plan = Plan::open(&args(Some(5), Some(9000))).unwrap();
        assert_eq!(plan.nodes().count(), 5);
        plan.prepare(&Key::draw()).unwrap();
        assert_eq!(Plan::open(&args(None, None)).unwrap().shape, plan.shape);
        assert_eq!(Plan::open(&args(Some(5), Some(9000))).unwrap().shape, plan.shape);
        assert!(Plan::open(&args(Some(3), None)).unwrap_err().contains("a cluster of 5 nodes, not 3"));
        assert!(Plan::open(&args(None, Some(8081))).unwrap_err().contains("ports begin at 9000"));
    }

    #[test]
    fn ports_follow_the_base() {
        let plan = Plan { dir: "/d".into(), shape: Shape { nodes: 3, http_base: 8081 }, again: false, control_port: 8080 };
        assert_eq!((plan.http_port(3), plan.peer_port(3)), (8083, 9083));
        assert!(plan.arguments(2, &Wanted::default()).contains(&"--data=/d/node-2".to_owned()));
        assert!(plan.arguments(2, &Wanted::default())[4].ends_with("3=127.0.0.1:9083=http://127.0.0.1:8083"));
    }

    #[test]
    fn a_node_begins_with_what_is_done_to_it() {
        let plan = Plan { dir: "/d".into(), shape: Shape { nodes: 3, http_base: 8081 }, again: false, control_port: 8080 };
        let arguments = plan.arguments(2, &Wanted { cut: [1, 3].into(), sync_delay_ms: 500 });
        for wanted in ["--cut-off=1,3", "--sync-delay=500", "--control=http://127.0.0.1:8080", "--control-key=/d/control-key"] {
            assert!(arguments.iter().any(|argument| argument == wanted), "{wanted} in {arguments:?}");
        }
        assert!(
            !arguments.iter().any(|argument| argument.contains("key=") && argument.len() > 40),
            "the key itself is no argument"
        );
    }

    #[tokio::test]
    async fn a_control_port_that_is_taken_is_another_one_unless_it_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let Some(base) = port.checked_add(1).filter(|base| *base < 64_000) else { return };
        let args = Demo { http_base: Some(base), data: dir.path().into(), ..Demo::default() };
        let mut plan = Plan::open(&args).unwrap();
        let (listener, warning) = plan.bind_control(None).await.unwrap();
        assert_eq!(listener.local_addr().unwrap().port(), plan.control_port);
        assert!(warning.unwrap().starts_with(&format!("port {port}, for the demo's control, cannot be used")));
        let error = plan.bind_control(Some(port)).await.unwrap_err();
        assert!(error.contains("--control-port"), "{error}");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let Some(base) = Some(port).filter(|port| *port < 64_000) else { return };
        let args = Demo { nodes: Some(1), http_base: Some(base), data: dir.path().into(), ..Demo::default() };
        let error = Plan::open(&args).unwrap().check_ports().await.unwrap_err();
        assert!(error.contains(&format!("port {port}")) && error.contains("--http-base"), "{error}");
    }
}
