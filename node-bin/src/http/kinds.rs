//! All types of problems that a node answers with, and what each says. They are stable: clients decide by them.

use axum::http::StatusCode;

/// One of them, behind `urn:tertulia:`.
pub struct Kind {
    pub name: &'static str,
    pub status: u16,
    /// For people who read the description of the API.
    pub means: &'static str,
}

const fn kind(status: u16, name: &'static str, means: &'static str) -> Kind {
    Kind { name, status, means }
}

/// Whether this is one of them.
pub fn is_known(status: StatusCode, name: &str) -> bool {
    KINDS.iter().any(|kind| kind.status == status.as_u16() && kind.name == name)
}

/// By status and name.
pub const KINDS: &[Kind] = &[
    kind(400, "bad-name", "the name holds what no name may hold"),
    kind(400, "bad-reaction", "a reaction is one emoji or one short word"),
    kind(400, "bad-request", "the request is malformed; the detail says where"),
    kind(400, "empty-name", "the name is empty, or nothing of it can be seen"),
    kind(400, "empty-text", "the message is empty, or nothing of it can be seen"),
    kind(400, "name-too-long", "the name is longer than a name may be"),
    kind(400, "not-a-websocket", "a WebSocket is opened here"),
    kind(426, "not-a-websocket", "a WebSocket is opened here"),
    kind(405, "not-a-websocket", "a WebSocket is opened here"),
    kind(401, "control-key", "the demo's key is needed"),
    kind(401, "logged-out", "the session was logged out, or has expired"),
    kind(401, "not-signed-in", "there is no token"),
    kind(401, "operator-clock", "the clocks of the asker and of the node are too far apart"),
    kind(401, "operator-replay", "this very request was taken already"),
    kind(401, "operator-unknown", "the cluster's secret is needed"),
    kind(401, "operator-wrong-secret", "this is not the cluster's secret"),
    kind(401, "unknown-session", "no session has this token"),
    kind(401, "wrong-password", "no such user, or not with this password"),
    kind(403, "banned", "the user is banned from the room"),
    kind(403, "blocked", "one of the two has blocked the other"),
    kind(403, "muted", "the user may not write in the room for now"),
    kind(403, "not-a-member", "only members may"),
    kind(403, "not-allowed", "what the user is may not do that"),
    kind(403, "not-friends", "only friends may"),
    kind(403, "origin-not-allowed", "a page of another origin may not"),
    kind(403, "wrong-invite", "no such invitation, or it is used or too old"),
    kind(403, "wrong-password", "this is not the account's password"),
    kind(403, "wrong-sign-in", "the cluster wants another way of signing in"),
    kind(404, "no-request", "nothing was asked that could be accepted or declined"),
    kind(404, "not-found", "there is nothing at this path"),
    kind(404, "unknown-device", "the user has no such device"),
    kind(404, "unknown-message", "the room has no such message"),
    kind(404, "unknown-node", "the demo has no such node"),
    kind(404, "unknown-room", "there is no such room, or it is not to be known"),
    kind(404, "unknown-user", "there is no such user"),
    kind(405, "method-not-allowed", "see the Allow header"),
    kind(409, "archived", "the room is archived"),
    kind(409, "forgotten", "the outcome is no longer kept, because it was acknowledged"),
    kind(409, "full", "a bound of the cluster is reached; the detail says which"),
    kind(409, "is-direct", "a room of two is what it is"),
    kind(409, "key-expired", "the Idempotency-Key is too old: the request may have been executed, and will not be again"),
    kind(409, "last-owner", "a room needs an owner"),
    kind(409, "looks-like", "the name looks like another one"),
    kind(409, "name-taken", "somebody or something has this name"),
    kind(409, "not-now", "the demo cannot do this now; the detail says why"),
    kind(409, "nothing-to-back-up", "the node holds nothing yet"),
    kind(409, "refused", "the cluster will not do this; the detail says why"),
    kind(409, "too-many-devices", "the user is signed in from as many devices as the cluster allows"),
    kind(413, "body-too-large", "the body is larger than a body may be"),
    kind(413, "text-too-long", "the message is longer than the room's rules allow"),
    kind(415, "unsupported-media-type", "the body has to be JSON"),
    kind(422, "key-reused", "the Idempotency-Key was used for another request"),
    kind(429, "too-many-keys", "the session has used up its Idempotency-Keys for now"),
    kind(429, "too-many-streams", "the session or the network address has as many streams as it may"),
    kind(429, "too-often", "more often than the cluster's rates allow"),
    kind(500, "internal", "a fault of the node: please report it"),
    kind(503, "backup", "the rows cannot be read"),
    kind(503, "busy", "the node has too much to do"),
    kind(503, "no-leader", "no majority is reached"),
    kind(503, "outbox-full", "no majority is reached, and the node keeps as much as it may"),
    kind(503, "pending", "it is under way; the detail says how far"),
    kind(503, "stalled", "the node's disk does not answer"),
    kind(503, "stopping", "the node is stopping"),
    kind(503, "too-few-copies", "no majority is reached, and the message is on fewer nodes than it has to be"),
    kind(503, "too-many-connections", "the node has as many connections as it takes"),
    kind(503, "too-many-watchers", "as many watch this node as may"),
    kind(503, "too-slow", "the stream was not read; in its last frame"),
    kind(503, "unknown-outcome", "it was taken and is not confirmed yet: ask again with the same key"),
];
