//! How the description of the API shows what the API takes over from the protocol as it is: rules, settings, and the names of kinds; and answers that are written piece by piece.
//!
//! Nothing is read or written through these types: tests hold them to what the protocol's own types read and write.

#![allow(dead_code, reason = "they are there for their schemas")]

use super::{cluster, view};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a room is: anybody finds and joins it; who was invited may join; as that, made by naming its members; of two people.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoomKind {
    Public,
    Private,
    Group,
    Direct,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    Member,
    Moderator,
    Owner,
}

/// What two users are to each other: nothing; the asker has asked; the other has asked; friends.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Friendship {
    None,
    Requested,
    Asked,
    Friends,
}

/// How somebody becomes a user: by a name; by a name, each time anew; by a password; by a password and an invitation.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignInWay {
    Open,
    Guests,
    Accounts,
    Invite,
}

/// With whom a room of two may be opened.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direct {
    Anybody,
    Friends,
}

/// What a room keeps, and for whom: everything; the last so many messages; for each member what came after it joined; what somebody has not read.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryRule {
    All,
    Last(u32),
    SinceJoin,
    None,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    Members,
    Moderators,
    Nobody,
}

/// What a node does with a post while it reaches no leader: refuses it; accepts it; accepts it once it is on so many nodes.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TentativeRule {
    Refuse,
    Accept,
    Copies(u8),
}

/// A room's rules. What is left out in a request has its default, or, where a room is changed, stays.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    #[schema(required = false)]
    pub history: HistoryRule,
    #[schema(required = false)]
    pub post: Who,
    #[schema(required = false)]
    pub invite: Who,
    /// Whether authors may change and delete what they wrote.
    #[schema(required = false)]
    pub edits: bool,
    /// Bytes of the longest message.
    #[schema(required = false)]
    pub text_bytes: u32,
    #[schema(required = false)]
    pub tentative: TentativeRule,
}

/// How often something may be done: so often at once, and so often a second in the long run. 0 a second: no limit.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// What each node holds its clients to: commands of a session, posts in a room, sign-ins from an address.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    #[schema(required = false)]
    pub session: Rate,
    #[schema(required = false)]
    pub room: Rate,
    #[schema(required = false)]
    pub address: Rate,
}

/// What holds for the whole cluster. What is left out in a request gets its default.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[schema(required = false)]
    pub sign_in: SignInWay,
    /// Devices that one user may be signed in from; 0: no limit.
    #[schema(required = false)]
    pub devices: u32,
    /// A session without a sign of life for so long is closed; 0: never.
    #[schema(required = false)]
    pub idle_ms: u64,
    #[schema(required = false)]
    pub direct: Direct,
    /// Whether deleting an account takes the text of its messages away.
    #[schema(required = false)]
    pub erase: bool,
    /// Whether administrators alone make public rooms.
    #[schema(required = false)]
    pub admins_make_rooms: bool,
    /// Of rooms that are made without any.
    #[schema(required = false)]
    pub rules: Rules,
    #[schema(required = false)]
    pub rates: Rates,
}

/// The cluster as a node sees it, and how that node is.
#[derive(ToSchema, Serialize)]
pub struct ClusterVitals {
    #[serde(flatten)]
    pub cluster: cluster::Cluster,
    pub vitals: Vitals,
}

/// How a node is.
#[derive(ToSchema, Serialize)]
pub struct Vitals {
    pub uptime_s: u64,
    pub disk: Disk,
    /// How long the disk's syncs took in the last ten seconds; null: there were none.
    #[schema(required)]
    pub sync: Option<Syncs>,
    /// Connections that the node knows: framed clients, streams, and requests under way.
    pub clients: u64,
    /// Open connections on the clients' port.
    pub connections: i64,
    /// Links to other nodes.
    pub links: u64,
    /// Streams of the cluster.
    pub watchers: u64,
    /// Rows of messages written since the start.
    pub messages: u64,
    /// Of a demo's node: what is done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub faults: Option<Faults>,
    /// Of a demo's node: where the page's buttons go.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub control: Option<String>,
}

/// Bytes.
#[derive(ToSchema, Serialize)]
pub struct Disk {
    pub log: u64,
    pub rows: u64,
    pub outbox: u64,
    #[schema(required)]
    pub free: Option<u64>,
    #[schema(required)]
    pub total: Option<u64>,
}

#[derive(ToSchema, Serialize)]
pub struct Syncs {
    pub count: u64,
    pub median_us: u64,
    pub longest_us: u64,
}

#[derive(ToSchema, Serialize)]
pub struct Faults {
    /// Nodes that it is kept from.
    pub cut: Vec<u64>,
    pub sync_delay_ms: u64,
}

/// All that the asker has written, and what the cluster keeps about the asker. One that breaks off was not finished.
#[derive(ToSchema)]
pub struct Export {
    pub me: view::Me,
    /// Rooms that the asker is in.
    pub rooms: Vec<view::Room>,
    pub messages: Vec<view::MessageIn>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::json;
    use tertulia_protocol::chat;

    /// What one type writes the other reads, and writes in the same way.
    fn is_as<T: Serialize + DeserializeOwned, U: Serialize + DeserializeOwned>(values: &[T]) {
        for value in values {
            let value = json!(value);
            let read: U = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"));
            assert_eq!(json!(read), value);
            assert!(serde_json::from_value::<T>(value).is_ok());
        }
    }

    #[test]
    fn what_is_described_is_what_the_protocol_reads_and_writes() {
        use chat::{
            Direct as D, Friendship as F, History as H, MemberRole as M, RoomKind as K, SignIn as S, Tentative as T, Who as W,
        };
        is_as::<K, RoomKind>(&[K::Public, K::Private, K::Group, K::Direct]);
        is_as::<M, MemberRole>(&[M::Member, M::Moderator, M::Owner]);
        is_as::<F, Friendship>(&[F::None, F::Requested, F::Asked, F::Friends]);
        is_as::<S, SignInWay>(&[S::Open, S::Guests, S::Accounts, S::Invite]);
        is_as::<D, Direct>(&[D::Anybody, D::Friends]);
        is_as::<H, HistoryRule>(&[H::All, H::Last(9), H::SinceJoin, H::None]);
        is_as::<W, Who>(&[W::Members, W::Moderators, W::Nobody]);
        is_as::<T, TentativeRule>(&[T::Refuse, T::Accept, T::Copies(2)]);
        is_as::<chat::Settings, Settings>(&[chat::Settings::default()]);
    }
}
