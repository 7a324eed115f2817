//! How many streams may be open: on this node, from one network address, of one session. Each holds a socket, a task, and the events that its reader has not taken.
//!
//! - What one address or one session may not have is refused to it alone (429); a full node sends everybody to the others (503). Both say when to try again.
//! - The node's bound is below that of its connections, so requests are answered while streams are not.

use super::Problem;
use super::problem::unavailable;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tertulia_protocol::gateway::{Credential, Token};

/// Streams of one node: the node keeps up to 256 KiB of events for each reader that is slow, and the kernel about as much.
const OF_NODE: usize = 3_072;
/// Streams from one network address. Generous, because a whole house or a proxy may stand behind it.
const OF_ADDRESS: usize = 2_048;
/// Streams of one session: the windows of one browser.
const OF_SESSION: usize = 32;
/// Seconds after which a refused reader may try again.
const RETRY: u64 = 5;

/// The streams of one node. All clones count together.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
    by_session: BTreeMap<Credential, usize>,
}

/// One stream's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    address: Option<IpAddr>,
    session: Option<Credential>,
}

/// A household has a whole network of IPv6 addresses (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

fn one_more<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K, limit: usize) -> bool {
    let count = counts.entry(key).or_default();
    let free = *count < limit;
    *count += usize::from(free);
    free
}

fn one_less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn too_many(detail: String) -> Problem {
    let title = "Too many streams";
    Problem { retry_after: Some(RETRY), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", title, detail) }
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a stream from this address, if it is known.
    pub fn enter(&self, address: Option<IpAddr>) -> Result<Place, Problem> {
        let address = address.map(network);
        let mut open = self.open();
        if open.all >= OF_NODE {
            let detail = format!("this node has {OF_NODE} streams open, which is all that it takes: open one at another node");
            return Err(unavailable("too-many-connections", "Too many connections", detail, RETRY));
        }
        if let Some(address) = address
            && !one_more(&mut open.by_address, address, OF_ADDRESS)
        {
            return Err(too_many(format!(
                "{OF_ADDRESS} streams are open from your network address, which is the most: close some"
            )));
        }
        open.all += 1;
        Ok(Place { streams: self.clone(), address, session: None })
    }
}

impl Place {
    /// The stream is this session's from now on.
    pub fn of_session(&mut self, token: &Token) -> Result<(), Problem> {
        let session = token.credential();
        if self.session == Some(session) {
            return Ok(());
        }
        let mut open = self.streams.open();
        if !one_more(&mut open.by_session, session, OF_SESSION) {
            return Err(too_many(format!("{OF_SESSION} streams of this session are open, which is the most: close some")));
        }
        if let Some(before) = self.session.replace(session) {
            one_less(&mut open.by_session, &before);
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.all -= 1;
        if let Some(address) = &self.address {
            one_less(&mut open.by_address, address);
        }
        if let Some(session) = &self.session {
            one_less(&mut open.by_session, session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn one_address_cannot_have_all_streams_and_a_full_node_says_so_to_everybody() {
        let streams = Streams::default();
        let mut places: Vec<Place> = (0..OF_ADDRESS).map(|_| streams.enter(address(1)).unwrap()).collect();
        let refused = streams.enter(address(1)).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.kind, refused.retry_after), (429, "too-many-streams", Some(RETRY)));
        places.extend((OF_ADDRESS..OF_NODE).map(|_| streams.enter(address(2)).unwrap()));
        let full = streams.enter(address(3)).unwrap_err();
        assert_eq!((full.status.as_u16(), full.kind, full.retry_after), (503, "too-many-connections", Some(RETRY)));
        places.pop();
        places.push(streams.enter(address(3)).unwrap());
        drop(places);
        let open = streams.open();
        assert!(open.all == 0 && open.by_address.is_empty() && open.by_session.is_empty(), "nothing is left behind: {open:?}");
    }

    #[test]
    fn a_session_has_a_bound_of_its_own_and_a_stream_may_change_its_session() {
        let streams = Streams::default();
        let (ours, other) = (Token([1; 32]), Token([2; 32]));
        let mut places: Vec<Place> = (0..=OF_SESSION).map(|_| streams.enter(None).unwrap()).collect();
        let (last, others) = places.split_last_mut().unwrap();
        for place in others.iter_mut() {
            place.of_session(&ours).unwrap();
            place.of_session(&ours).unwrap();
        }
        assert_eq!(last.of_session(&ours).unwrap_err().kind, "too-many-streams");
        others[0].of_session(&other).unwrap();
        last.of_session(&ours).unwrap();
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_ipv4_is_ipv4() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
