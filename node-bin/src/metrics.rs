//! What a node counts, as Prometheus reads it.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
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

/// Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Requested, Counter>,
    refused: Family<Refused, Counter>,
    connections: Gauge,
    term: Gauge,
    commit: Gauge,
    applied: Gauge,
    is_leader: Gauge,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("tertulia");
        let (requests, refused) = (Family::default(), Family::default());
        registry.register("http_requests", "HTTP requests answered, by route and status", requests.clone());
        registry.register("refused_frames", "Frames and hellos that ended their connection, by port and reason", refused.clone());
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("connections", "Open connections on the clients' port");
        let term = gauge("term", "The raft term this node is in");
        let commit = gauge("commit", "The last log entry known to be committed");
        let applied = gauge("applied", "The last log entry applied");
        let is_leader = gauge("is_leader", "1 on the leader");
        Metrics { registry: Arc::new(registry), requests, refused, connections, term, commit, applied, is_leader }
    }

    pub fn requested(&self, route: &str, method: &str, status: u16) {
        let labels = Requested { route: route.into(), method: method.into(), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// `port` is `client` or `peer`.
    pub fn refused(&self, port: &'static str, reason: &'static str) {
        self.refused.get_or_create(&Refused { port, reason }).inc();
    }

    /// Counts one connection for as long as the guard lives.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected { connections: self.connections.clone() }
    }

    /// Everything as text, with the node's state as of now.
    pub fn text(&self, status: Option<&Status>) -> String {
        if let Some(status) = status {
            self.term.set(status.term as i64);
            self.commit.set(status.commit as i64);
            self.applied.set(status.applied as i64);
            self.is_leader.set(i64::from(status.leader == Some(status.node)));
        }
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// See [`Metrics::connected`].
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
        metrics.refused("client", "checksum");
        metrics.refused("client", "checksum");
        let open = metrics.connected();
        drop(metrics.connected());
        let text = metrics.text(None);
        assert!(text.contains("tertulia_http_requests_total{route=\"/api/v1/rooms\",method=\"GET\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("tertulia_refused_frames_total{port=\"client\",reason=\"checksum\"} 2"), "{text}");
        assert!(text.contains("tertulia_connections 1"), "{text}");
        drop(open);
        assert!(metrics.text(None).contains("tertulia_connections 0"));
    }
}
