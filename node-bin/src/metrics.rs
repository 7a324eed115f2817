//! What a node counts, as Prometheus reads it.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tertulia_driver::{Metrics as Driver, Port, Reason};
use tertulia_protocol::gateway::Status;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Requested {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    port: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

/// Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Requested, Counter>,
    refused: Family<Refused, Counter>,
    streams: Gauge,
    streams_closed: Family<Closed, Counter>,
    connections: Gauge,
    clients: Gauge,
    links: Gauge,
    dials: Counter,
    reconnects: Counter,
    dropped: Counter,
    term: Gauge,
    commit: Gauge,
    applied: Gauge,
    is_leader: Gauge,
    tentative: Gauge,
    divergences: Counter,
    diverged: Gauge,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("tertulia");
        let (requests, refused, streams_closed) = (Family::default(), Family::default(), Family::<Closed, Counter>::default());
        registry.register("http_requests", "HTTP requests answered, by route and status", requests.clone());
        registry.register("refused_frames", "Frames and hellos that ended their connection, by port and reason", refused.clone());
        registry.register(
            "streams_closed",
            "Streams that this node has ended, by reason: their reader was told why, or was too slow",
            streams_closed.clone(),
        );
        let mut counter = |name, help| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let dials = counter("dials", "Attempts to reach a peer");
        let reconnects = counter("reconnects", "Links to peers that came up again");
        let dropped = counter("dropped_messages", "Messages to peers that a full or broken link dropped");
        let divergences =
            counter("divergences", "Reports that a peer's state is not that of this node at the same place of the log");
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("connections", "Open connections on the clients' port");
        let streams = gauge("streams", "Open WebSockets");
        let clients = gauge("clients", "Connections that the node knows: framed clients, streams, and requests under way");
        let links = gauge("links", "Links to peers that are up");
        let term = gauge("term", "The raft term this node is in");
        let commit = gauge("commit", "The last log entry known to be committed");
        let applied = gauge("applied", "The last log entry applied");
        let is_leader = gauge("is_leader", "1 on the leader");
        let tentative =
            gauge("tentative_entries", "Requests that a node without a leader has accepted, held here and not settled");
        let diverged =
            gauge("diverged_peers", "Peers whose state differs from that of this node; 0 unless something is badly wrong");
        let registry = Arc::new(registry);
        Metrics {
            registry,
            requests,
            refused,
            streams,
            streams_closed,
            connections,
            clients,
            links,
            dials,
            reconnects,
            dropped,
            term,
            commit,
            applied,
            is_leader,
            tentative,
            divergences,
            diverged,
        }
    }

    pub fn requested(&self, route: &str, method: &str, status: u16) {
        let labels = Requested { route: route.into(), method: method.into(), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// A connection on the clients' port that ended before it reached the driver. Reasons here are none of [`Reason`]'s.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { port: Port::Client.name(), reason }).inc();
    }

    /// The driver keeps plain counters of its own.
    fn take_over(&self, driver: &Driver) {
        for port in Port::ALL {
            for reason in Reason::ALL {
                let labels = Refused { port: port.name(), reason: reason.name() };
                self.refused.get_or_create(&labels).inner().store(driver.refused(port, reason), Relaxed);
            }
        }
        self.links.set(driver.links() as i64);
        self.dials.inner().store(driver.dials(), Relaxed);
        self.reconnects.inner().store(driver.reconnects(), Relaxed);
        self.dropped.inner().store(driver.messages_dropped(), Relaxed);
        self.clients.set(driver.connections() as i64);
        self.divergences.inner().store(driver.divergences(), Relaxed);
    }

    /// Connections that are open on the clients' port.
    pub fn open_connections(&self) -> i64 {
        self.connections.get()
    }

    /// Counts one connection for as long as the guard lives.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected { connections: self.connections.clone() }
    }

    /// Counts one stream for as long as the guard lives.
    pub fn streaming(&self) -> Connected {
        self.streams.inc();
        Connected { connections: self.streams.clone() }
    }

    /// This node has ended a stream.
    pub fn stream_closed(&self, reason: &'static str) {
        self.streams_closed.get_or_create(&Closed { reason }).inc();
    }

    /// Everything as text, with the node's state and its driver's counters as of now.
    pub fn text(&self, status: Option<&Status>, driver: Option<&Driver>) -> String {
        if let Some(driver) = driver {
            self.take_over(driver);
        }
        if let Some(status) = status {
            self.term.set(status.term as i64);
            self.commit.set(status.commit as i64);
            self.applied.set(status.applied as i64);
            self.is_leader.set(i64::from(status.leader == Some(status.node)));
            self.tentative.set(status.tentative as i64);
            self.diverged.set(status.diverged.len() as i64);
        }
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// See [`Metrics::connected`] and [`Metrics::streaming`].
pub struct Connected {
    connections: Gauge,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.requested("/api/v1/rooms", "GET", 200);
        metrics.refused("http");
        metrics.refused("http");
        let open = metrics.connected();
        drop(metrics.connected());
        let text = metrics.text(None, None);
        assert!(text.contains("tertulia_http_requests_total{route=\"/api/v1/rooms\",method=\"GET\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("tertulia_refused_frames_total{port=\"client\",reason=\"http\"} 2"), "{text}");
        assert!(text.contains("tertulia_connections 1"), "{text}");
        drop(open);
        assert!(metrics.text(None, None).contains("tertulia_connections 0"));
    }
}
