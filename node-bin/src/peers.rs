//! Who is in the cluster, as an operator writes it: `ID=HOST:PORT=URL`, the address for peers and the one for clients.

use tertulia_protocol::ids::NodeId;
use tertulia_protocol::raft::Member;

/// One member of `--peers`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    pub id: NodeId,
    /// `host:port`.
    pub peer_address: String,
    /// `http://host:port`, without a slash at its end.
    pub client_url: String,
}

impl Peer {
    pub fn member(&self) -> Member {
        Member {
            id: self.id,
            peer_address: self.peer_address.clone(),
            client_address: self.client_url.clone(),
            incarnation: None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}={}", self.id.0, self.peer_address, self.client_url)
    }
}

/// Parses one member; clap cuts the list at its commas.
pub fn parse_peer(text: &str) -> Result<Peer, String> {
    let mut parts = text.trim().splitn(3, '=');
    let (Some(id), Some(peer), Some(url)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("write each member as ID=HOST:PORT=URL, for example 1=10.0.0.1:9081=http://10.0.0.1:8081".into());
    };
    let id = match id.parse() {
        Ok(id) if id > 0 => NodeId(id),
        _ => return Err(format!("\"{id}\" is no node id: ids are numbers from 1")),
    };
    host_and_port(peer).ok_or_else(|| format!("\"{peer}\" is no HOST:PORT for peers"))?;
    Ok(Peer { id, peer_address: peer.into(), client_url: parse_url(url)? })
}

/// Checks the list as a whole: each id and each address once, and this node among them.
pub fn check_peers(peers: &[Peer], this: NodeId) -> Result<(), String> {
    for (at, peer) in peers.iter().enumerate() {
        for other in &peers[at + 1..] {
            if peer.id == other.id {
                return Err(format!("--peers names node {} twice: give each node its own id", peer.id.0));
            }
            if peer.peer_address == other.peer_address || peer.client_url == other.client_url {
                return Err(format!("--peers gives nodes {} and {} the same address", peer.id.0, other.id.0));
            }
        }
    }
    if !peers.iter().any(|peer| peer.id == this) {
        return Err(format!("--peers does not name node {} itself: list every node of the cluster, this one too", this.0));
    }
    Ok(())
}

/// A server's address as users write it: `http://host:port`. Returned without a slash at its end.
pub fn parse_url(url: &str) -> Result<String, String> {
    let url = url.trim().trim_end_matches('/');
    let Some(rest) = url.strip_prefix("http://") else {
        let why = if url.starts_with("https://") { ": nodes speak plain HTTP, put TLS in front of them" } else { "" };
        return Err(format!("\"{url}\" does not begin with http://{why}"));
    };
    host_and_port(rest).ok_or_else(|| format!("\"{url}\" is not http://HOST:PORT"))?;
    Ok(url.into())
}

/// A server's address as `host:port`; `http://host:port` will do, too.
pub fn parse_address(text: &str) -> Result<String, String> {
    let address = address_of(text.trim().trim_end_matches('/'));
    host_and_port(address).ok_or_else(|| format!("\"{text}\" is not HOST:PORT, for example 127.0.0.1:8081"))?;
    Ok(address.into())
}

/// The `host:port` of an URL that [`parse_url`] took.
pub fn address_of(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}

/// Splits `host:port`, `[v6]:port` included.
pub fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = !host.is_empty() && !host.contains([':', '/', '@', ' ', '?', '#', '[', ']', ';', ',', '\'', '"']);
    (bracketed || plain).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_an_id_and_two_addresses() {
        let peer = parse_peer("2=host.example:9082=http://host.example:8082/").unwrap();
        assert_eq!(peer.id, NodeId(2));
        assert_eq!(peer.peer_address, "host.example:9082");
        assert_eq!(peer.client_url, "http://host.example:8082");
        assert_eq!(parse_peer(&peer.to_string()), Ok(peer));
        assert_eq!(parse_peer("1=[::1]:9081=http://[::1]:8081").unwrap().peer_address, "[::1]:9081");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("1", "ID=HOST:PORT=URL"),
            ("1=host:1", "ID=HOST:PORT=URL"),
            ("x=host:1=http://host:2", "\"x\" is no node id"),
            ("0=host:1=http://host:2", "\"0\" is no node id"),
            ("1=host=http://host:2", "\"host\" is no HOST:PORT"),
            ("1=host:70000=http://host:2", "\"host:70000\" is no HOST:PORT"),
            ("1=host:1=https://host:2", "TLS"),
            ("1=host:1=host:2", "does not begin with http://"),
            ("1=host:1=http://host", "is not http://HOST:PORT"),
            ("1=host:1=http://host:80/path", "is not http://HOST:PORT"),
        ] {
            let error = parse_peer(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_list_names_each_node_once_and_this_one_too() {
        let peer = |text: &str| parse_peer(text).unwrap();
        let two = [peer("1=h:1=http://h:11"), peer("2=h:2=http://h:12")];
        assert_eq!(check_peers(&two, NodeId(2)), Ok(()));
        assert!(check_peers(&two, NodeId(3)).unwrap_err().contains("does not name node 3"));
        let twice = [peer("1=h:1=http://h:11"), peer("1=h:2=http://h:12")];
        assert!(check_peers(&twice, NodeId(1)).unwrap_err().contains("twice"));
        let same = [peer("1=h:1=http://h:11"), peer("2=h:1=http://h:12")];
        assert!(check_peers(&same, NodeId(1)).unwrap_err().contains("same address"));
    }
}
