//! How two peers make sure of each other: same version, same cluster, the right node, the right data folder, and both know the cluster's secret.
//!
//! The dialler sends [`Hello`], the acceptor answers [`Welcome`] with its proof, the dialler sends its own [`Proof`]; then the dialler sends
//! messages. A proof is HMAC-SHA-256 (RFC 2104) under the secret over both nonces and both identities, so the secret never crosses the wire and
//! an old proof is worth nothing. What is said afterwards is not encrypted: run peers on a network of their own.

use crate::ids::*;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of the peers' protocol.
pub const PEER_VERSION: u16 = 3;

/// What the operators of one cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// At least 16 bytes, or `None`.
    pub fn new(bytes: &[u8]) -> Option<Secret> {
        (bytes.len() >= 16).then(|| Secret(bytes.to_vec()))
    }

    /// The cluster's public name: a hash of its secret.
    pub fn cluster_id(&self) -> ClusterId {
        let digest = Sha256::new().chain_update(b"tertulia cluster id").chain_update(&self.0).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        ClusterId(u128::from_be_bytes(id))
    }

    /// What shows that whoever makes this request knows the secret: HMAC-SHA-256 under a key of its own, so that nothing that peers prove is of use here.
    pub fn operator_mac(&self, request: &OperatorRequest<'_>) -> [u8; 32] {
        self.operator(request).finalize().into_bytes().into()
    }

    /// Checks it, in constant time.
    pub fn is_operator_mac(&self, request: &OperatorRequest<'_>, mac: &[u8]) -> bool {
        self.operator(request).verify_slice(mac).is_ok()
    }

    /// A session's token that follows from `parts` and cannot be known without this secret: whoever repeats a sign-in with all of them is given the same token, on any
    /// node, and no node keeps it. Under a key of its own, as operators' proofs are.
    pub fn session_token(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.0, b"tertulia session key", parts).finalize().into_bytes().into()
    }

    fn operator(&self, request: &OperatorRequest<'_>) -> Hmac<Sha256> {
        let OperatorRequest { method, path, time, nonce, body } = request;
        keyed(&self.0, b"tertulia operator key", &[method.as_bytes(), path.as_bytes(), &time.to_le_bytes(), *nonce, body])
    }
}

/// A MAC of these parts, in this order, under a key that is made of the secret for one purpose.
fn keyed(secret: &[u8], purpose: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut key = hmac_under(secret);
    key.update(purpose);
    let mut mac = hmac_under(&key.finalize().into_bytes());
    // Each with its length: no two lists of parts are the same bytes.
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac
}

fn hmac_under(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// An operator's request over HTTP, as far as its proof covers it: all of it.
#[derive(Clone, Copy, Debug)]
pub struct OperatorRequest<'a> {
    pub method: &'a str,
    /// As it stands in the request, with the query.
    pub path: &'a str,
    /// Seconds since 1970 by the asker's clock.
    pub time: u64,
    /// Random, fresh for each request.
    pub nonce: &'a [u8; 16],
    pub body: &'a [u8],
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who somebody says to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct PeerIdentity {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub boot: Boot,
}

/// The longest address that a hello may name, in bytes.
pub const ADDRESS_LIMIT: usize = 256;

/// The dialler's first frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    pub version: u16,
    pub from: PeerIdentity,
    /// Whom the dialler means to reach.
    pub to: NodeId,
    /// Where the dialler listens for peers, `host:port`; empty if it does not say.
    pub address: String,
    /// Whether the dialler's own log says that it is a member: then it is one, or was one, even if the acceptor has not heard of it.
    pub member: bool,
    /// The drift bound of the dialler's leases, if they are on: a voter that does not know of leases would vote while one holds.
    pub lease_drift_ppm: Option<u32>,
    /// Random, fresh for each connection.
    pub nonce: [u8; 16],
}

/// The acceptor's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub from: PeerIdentity,
    pub nonce: [u8; 16],
    pub proof: [u8; 32],
}

/// The dialler's second frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    pub proof: [u8; 32],
}

/// Why a handshake ends. Sent to the other side as [`crate::wire::Kind::HelloRefused`].
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum HelloRefusal {
    Version {
        ours: u16,
    },
    Cluster,
    /// The dialler meant another node than the one at this address.
    Node {
        this_is: NodeId,
    },
    /// Not a member of this cluster.
    Stranger {
        node: NodeId,
    },
    /// The member has another data folder: this one is new, or another one's.
    NewFolder {
        node: NodeId,
    },
    /// The other side does not know the secret.
    Proof,
    Malformed {
        why: String,
    },
    /// The cluster has removed this member.
    Removed {
        node: NodeId,
    },
    /// The two do not agree on leases.
    Leases {
        ours: Option<u32>,
    },
}

impl fmt::Display for HelloRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HelloRefusal::Version { ours } => write!(
                f,
                "the peer speaks version {ours} of the protocol, not version {PEER_VERSION}: run the same release on all nodes"
            ),
            HelloRefusal::Cluster => write!(f, "the peer belongs to another cluster: check --secret-file and --peers"),
            HelloRefusal::Node { this_is } => write!(f, "the peer at this address is node {}: check --peers", this_is.0),
            HelloRefusal::Stranger { node } => {
                write!(f, "node {} is not a member of this cluster: check --id and --peers", node.0)
            }
            HelloRefusal::NewFolder { node } => write!(
                f,
                "this data folder is new, but the cluster knows node {} with another one, whose votes and messages this folder does not have: \
                 start the node on its own folder. If that is lost, do not start this node: the cluster goes on without it while a majority of \
                 all nodes runs. A new folder may not take an old member's place, nor may an older copy of its own: \
                 that would have forgotten its votes and what it acknowledged",
                node.0
            ),
            HelloRefusal::Removed { node } => write!(
                f,
                "node {} was removed from the cluster, for good: a new data folder joins with `node serve --join`",
                node.0
            ),
            HelloRefusal::Leases { ours } => write!(
                f,
                "the peer runs {}: stop all nodes and start them with the same --lease-drift, for a voter that does not keep to a lease makes reads on it stale",
                ours.map_or("without leases".into(), |ppm| alloc::format!("with leases for a drift of {ppm} millionths"))
            ),
            HelloRefusal::Proof => write!(f, "the peer does not know this cluster's secret: check --secret-file"),
            HelloRefusal::Malformed { why } => write!(f, "what the peer sent is not a handshake: {why}"),
        }
    }
}

/// Checks what a hello says by itself; whether its data folder is the member's is [`crate::node::Node::admit`]'s to say.
pub fn check_hello(hello: &Hello, us: &PeerIdentity, lease_drift_ppm: Option<u32>) -> Result<(), HelloRefusal> {
    if hello.version != PEER_VERSION {
        return Err(HelloRefusal::Version { ours: PEER_VERSION });
    }
    if hello.from.cluster != us.cluster {
        return Err(HelloRefusal::Cluster);
    }
    if hello.lease_drift_ppm != lease_drift_ppm {
        return Err(HelloRefusal::Leases { ours: lease_drift_ppm });
    }
    if hello.address.len() > ADDRESS_LIMIT {
        return Err(HelloRefusal::Malformed { why: "an address of more than 256 bytes".into() });
    }
    if hello.to != us.node {
        return Err(HelloRefusal::Node { this_is: us.node });
    }
    Ok(())
}

/// Which side of the handshake a proof is made by: the two differ, so that neither can be sent back as the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Acceptor,
    Dialler,
}

/// The proof of one side.
pub fn prove(secret: &Secret, side: Side, hello: &Hello, acceptor: &PeerIdentity, acceptor_nonce: &[u8; 16]) -> [u8; 32] {
    mac(secret, side, hello, acceptor, acceptor_nonce).finalize().into_bytes().into()
}

/// Checks the other side's proof, in constant time.
pub fn verify(
    secret: &Secret,
    side: Side,
    hello: &Hello,
    acceptor: &PeerIdentity,
    acceptor_nonce: &[u8; 16],
    proof: &[u8; 32],
) -> Result<(), HelloRefusal> {
    mac(secret, side, hello, acceptor, acceptor_nonce).verify_slice(proof).map_err(|_| HelloRefusal::Proof)
}

fn mac(secret: &Secret, side: Side, hello: &Hello, acceptor: &PeerIdentity, acceptor_nonce: &[u8; 16]) -> Hmac<Sha256> {
    let mut mac = hmac_under(&secret.0);
    mac.update(match side {
        Side::Acceptor => b"tertulia acceptor",
        Side::Dialler => b"tertulia dialler ",
    });
    for identity in [&hello.from, acceptor] {
        mac.update(&identity.cluster.0.to_le_bytes());
        mac.update(&identity.node.0.to_le_bytes());
        mac.update(&identity.incarnation.0.to_le_bytes());
        mac.update(&identity.boot.0.to_le_bytes());
    }
    mac.update(&[u8::from(hello.member), u8::from(hello.lease_drift_ppm.is_some())]);
    mac.update(&hello.lease_drift_ppm.unwrap_or_default().to_le_bytes());
    mac.update(&(hello.address.len() as u64).to_le_bytes());
    mac.update(hello.address.as_bytes());
    mac.update(&hello.nonce);
    mac.update(acceptor_nonce);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u64) -> PeerIdentity {
        let cluster = secret(1).cluster_id();
        PeerIdentity { cluster, node: NodeId(node), incarnation: Incarnation(u128::from(node) + 10), boot: Boot(node + 20) }
    }

    fn secret(fill: u8) -> Secret {
        Secret::new(&[fill; 16]).unwrap()
    }

    fn hello() -> Hello {
        Hello {
            version: PEER_VERSION,
            from: identity(1),
            to: NodeId(2),
            address: "a:1".into(),
            member: true,
            lease_drift_ppm: None,
            nonce: [3; 16],
        }
    }

    #[test]
    fn a_sessions_token_follows_from_all_its_parts_and_the_secret() {
        let token = secret(1).session_token(&[b"key", b"ana"]);
        assert_eq!(token, secret(1).session_token(&[b"key", b"ana"]));
        assert_ne!(token, secret(2).session_token(&[b"key", b"ana"]), "another cluster's");
        assert_ne!(token, secret(1).session_token(&[b"keya", b"na"]), "the parts are told apart");
        assert_ne!(token, secret(1).session_token(&[b"key", b"ana", b""]));
    }

    #[test]
    fn a_proof_is_good_for_its_side_its_secret_and_this_one_handshake() {
        let (ours, acceptor, nonce) = (secret(1), identity(2), [4; 16]);
        for (side, other) in [(Side::Acceptor, Side::Dialler), (Side::Dialler, Side::Acceptor)] {
            let proof = prove(&ours, side, &hello(), &acceptor, &nonce);
            let check = |secret: &Secret, side, hello: &Hello, acceptor: &PeerIdentity, nonce: &[u8; 16]| {
                verify(secret, side, hello, acceptor, nonce, &proof)
            };
            assert_eq!(check(&ours, side, &hello(), &acceptor, &nonce), Ok(()));
            let refused = Err(HelloRefusal::Proof);
            assert_eq!(check(&ours, other, &hello(), &acceptor, &nonce), refused, "a proof cannot be sent back");
            assert_eq!(check(&secret(2), side, &hello(), &acceptor, &nonce), refused);
            assert_eq!(check(&ours, side, &hello(), &acceptor, &[5; 16]), refused, "an old proof is worth nothing");
            assert_eq!(check(&ours, side, &Hello { nonce: [5; 16], ..hello() }, &acceptor, &nonce), refused);
            assert_eq!(check(&ours, side, &Hello { member: false, ..hello() }, &acceptor, &nonce), refused);
            assert_eq!(check(&ours, side, &Hello { lease_drift_ppm: Some(0), ..hello() }, &acceptor, &nonce), refused);
            assert_eq!(check(&ours, side, &Hello { address: "b:1".into(), ..hello() }, &acceptor, &nonce), refused);
            for changed in [
                PeerIdentity { cluster: ClusterId(0), ..acceptor },
                PeerIdentity { node: NodeId(9), ..acceptor },
                PeerIdentity { incarnation: Incarnation(9), ..acceptor },
                PeerIdentity { boot: Boot(9), ..acceptor },
            ] {
                assert_eq!(check(&ours, side, &hello(), &changed, &nonce), refused);
                assert_eq!(check(&ours, side, &Hello { from: changed, ..hello() }, &acceptor, &nonce), refused);
            }
        }
    }

    #[test]
    fn a_hello_is_for_one_node_of_one_cluster_in_one_version() {
        let us = identity(2);
        assert_eq!(check_hello(&hello(), &us, None), Ok(()));
        let newer = Hello { version: PEER_VERSION + 1, ..hello() };
        assert_eq!(check_hello(&newer, &us, None), Err(HelloRefusal::Version { ours: PEER_VERSION }));
        assert_eq!(check_hello(&hello(), &identity(3), None), Err(HelloRefusal::Node { this_is: NodeId(3) }));
        let elsewhere = PeerIdentity { cluster: secret(2).cluster_id(), ..us };
        assert_eq!(check_hello(&hello(), &elsewhere, None), Err(HelloRefusal::Cluster));
        let leases = Err(HelloRefusal::Leases { ours: Some(1_000) });
        assert_eq!(check_hello(&hello(), &us, Some(1_000)), leases, "a voter without leases would vote while one holds");
    }

    #[test]
    fn an_operators_proof_is_good_for_one_request_word_by_word() {
        let request = OperatorRequest { method: "PUT", path: "/a/b", time: 7, nonce: &[1; 16], body: b"{}" };
        let mac = secret(1).operator_mac(&request);
        assert!(secret(1).is_operator_mac(&request, &mac));
        assert!(!secret(2).is_operator_mac(&request, &mac));
        assert!(!secret(1).is_operator_mac(&request, &mac[..31]));
        for other in [
            OperatorRequest { method: "POST", ..request },
            OperatorRequest { path: "/a/b{", body: b"}", ..request },
            OperatorRequest { path: "/a", ..request },
            OperatorRequest { time: 8, ..request },
            OperatorRequest { nonce: &[2; 16], ..request },
            OperatorRequest { body: b"{ }", ..request },
        ] {
            assert!(!secret(1).is_operator_mac(&other, &mac), "{other:?}");
        }
    }

    #[test]
    fn a_short_secret_is_none() {
        assert_eq!(Secret::new(&[7; 15]), None);
        assert_ne!(secret(1).cluster_id(), secret(2).cluster_id());
    }
}
