//! `{kind, version, bytes}` around every command, row and frame body.
//!
//! Postcard cannot skip a field that it does not know, so what a body means is said outside of it. Bytes: kind (u16, little endian), version (u8), body.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a body is. The numbers never change and are never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u16)]
pub enum Kind {
    // frames between peers
    Hello = 0x0001,
    Welcome = 0x0002,
    Proof = 0x0003,
    HelloRefused = 0x0004,
    Peer = 0x0005,
    Ping = 0x0006,
    Pong = 0x0007,
    // frames between a client and its node
    ClientHello = 0x0020,
    Request = 0x0021,
    Reply = 0x0022,
    Event = 0x0023,
    Close = 0x0024,
    // log entries
    Noop = 0x0100,
    Configuration = 0x0101,
    Submission = 0x0102,
    Membership = 0x0103,
    Succession = 0x0104,
    // commands of the chat
    SignIn = 0x0200,
    CreateRoom = 0x0201,
    Join = 0x0202,
    Leave = 0x0203,
    Post = 0x0204,
    Respond = 0x0205,
    Edit = 0x0206,
    Delete = 0x0207,
    React = 0x0208,
    Pin = 0x0209,
    Read = 0x020a,
    MakeRoom = 0x020b,
    OpenDirect = 0x020c,
    Invite = 0x020d,
    Decline = 0x020e,
    SetTopic = 0x020f,
    Rename = 0x0210,
    Archive = 0x0211,
    DeleteRoom = 0x0212,
    SetRules = 0x0213,
    SetRole = 0x0214,
    Kick = 0x0215,
    Ban = 0x0216,
    Mute = 0x0217,
    Befriend = 0x0218,
    Unfriend = 0x0219,
    Block = 0x021a,
    SetDisplayName = 0x021b,
    NameDevice = 0x021c,
    LogOut = 0x021d,
    ChangePassword = 0x021e,
    DeleteAccount = 0x021f,
    MakeInvite = 0x0220,
    RevokeInvite = 0x0221,
    SetAdmin = 0x0222,
    Configure = 0x0223,
    SignInFrom = 0x0240,
    Register = 0x0241,
    LogIn = 0x0242,
    // commands of the house: no session asks them
    HouseSettings = 0x0260,
    HouseSeen = 0x0261,
    HouseExpire = 0x0262,
    HouseSweepRoom = 0x0263,
    HouseSweepUser = 0x0264,
    HouseSeal = 0x0265,
    ChatReply = 0x0280,
    // rows
    Applied = 0x0300,
    ConfigurationRow = 0x0301,
    Session = 0x0302,
    Outcome = 0x0303,
    KeyOutcome = 0x0304,
    MembershipRow = 0x0305,
    SuccessionRow = 0x0306,
    ClosedSession = 0x0307,
    EndedSession = 0x0308,
    User = 0x0310,
    Device = 0x0311,
    Room = 0x0312,
    Member = 0x0313,
    // the first release's User to Member are read, these are written
    SettingsRow = 0x0320,
    UserRow = 0x0321,
    DeviceRow = 0x0322,
    RoomRow = 0x0323,
    RoomEnd = 0x0324,
    MemberRow = 0x0325,
    Standing = 0x0326,
    Relation = 0x0327,
    InviteRow = 0x0328,
    Sweep = 0x0329,
    CountersRow = 0x032a,
    SealRow = 0x032b,
    Message = 0x0380,
    MessageRow = 0x0381,
    ChangeRow = 0x0382,
    ThreadRow = 0x0383,
    CarriedMessage = 0x0384,
    // what a client keeps
    OutboxSession = 0x0400,
    OutboxCommand = 0x0401,
    OutboxCursor = 0x0402,
    OutboxForgotten = 0x0403,
    // what a node keeps in its outbox
    Tentative = 0x0410,
    // left to other state machines than the chat
    Other = 0x7000,
}

impl Kind {
    /// Ascending.
    const ALL: &[Kind] = &[
        Kind::Hello,
        Kind::Welcome,
        Kind::Proof,
        Kind::HelloRefused,
        Kind::Peer,
        Kind::Ping,
        Kind::Pong,
        Kind::ClientHello,
        Kind::Request,
        Kind::Reply,
        Kind::Event,
        Kind::Close,
        Kind::Noop,
        Kind::Configuration,
        Kind::Submission,
        Kind::Membership,
        Kind::Succession,
        Kind::SignIn,
        Kind::CreateRoom,
        Kind::Join,
        Kind::Leave,
        Kind::Post,
        Kind::Respond,
        Kind::Edit,
        Kind::Delete,
        Kind::React,
        Kind::Pin,
        Kind::Read,
        Kind::MakeRoom,
        Kind::OpenDirect,
        Kind::Invite,
        Kind::Decline,
        Kind::SetTopic,
        Kind::Rename,
        Kind::Archive,
        Kind::DeleteRoom,
        Kind::SetRules,
        Kind::SetRole,
        Kind::Kick,
        Kind::Ban,
        Kind::Mute,
        Kind::Befriend,
        Kind::Unfriend,
        Kind::Block,
        Kind::SetDisplayName,
        Kind::NameDevice,
        Kind::LogOut,
        Kind::ChangePassword,
        Kind::DeleteAccount,
        Kind::MakeInvite,
        Kind::RevokeInvite,
        Kind::SetAdmin,
        Kind::Configure,
        Kind::SignInFrom,
        Kind::Register,
        Kind::LogIn,
        Kind::HouseSettings,
        Kind::HouseSeen,
        Kind::HouseExpire,
        Kind::HouseSweepRoom,
        Kind::HouseSweepUser,
        Kind::HouseSeal,
        Kind::ChatReply,
        Kind::Applied,
        Kind::ConfigurationRow,
        Kind::Session,
        Kind::Outcome,
        Kind::KeyOutcome,
        Kind::MembershipRow,
        Kind::SuccessionRow,
        Kind::ClosedSession,
        Kind::EndedSession,
        Kind::User,
        Kind::Device,
        Kind::Room,
        Kind::Member,
        Kind::SettingsRow,
        Kind::UserRow,
        Kind::DeviceRow,
        Kind::RoomRow,
        Kind::RoomEnd,
        Kind::MemberRow,
        Kind::Standing,
        Kind::Relation,
        Kind::InviteRow,
        Kind::Sweep,
        Kind::CountersRow,
        Kind::SealRow,
        Kind::Message,
        Kind::MessageRow,
        Kind::ChangeRow,
        Kind::ThreadRow,
        Kind::CarriedMessage,
        Kind::OutboxSession,
        Kind::OutboxCommand,
        Kind::OutboxCursor,
        Kind::OutboxForgotten,
        Kind::Tentative,
        Kind::Other,
    ];

    pub(super) fn from_number(number: u16) -> Option<Kind> {
        Kind::ALL.binary_search_by_key(&number, |kind| *kind as u16).ok().map(|place| Kind::ALL[place])
    }

    /// The kind of an envelope, without opening it.
    pub(crate) fn of(bytes: &[u8]) -> Result<Kind, EnvelopeError> {
        let [low, high, _version, ..] = *bytes else { return Err(EnvelopeError::TooShort) };
        let number = u16::from_le_bytes([low, high]);
        Kind::from_number(number).ok_or(EnvelopeError::UnknownKind { kind: number })
    }
}

/// An opened envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    pub kind: Kind,
    pub version: u8,
    pub body: Bytes,
}

/// Why bytes are no envelope, or not of the expected content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EnvelopeError {
    TooShort,
    /// Written by a newer version, or damaged.
    UnknownKind {
        kind: u16,
    },
    /// The kind is known, in an older form.
    UnknownVersion {
        kind: Kind,
        version: u8,
    },
    WrongKind {
        expected: Kind,
        found: Kind,
    },
    /// The body does not decode, or something is left over.
    BadBody {
        kind: Kind,
    },
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvelopeError::TooShort => write!(f, "fewer bytes than an envelope's head"),
            EnvelopeError::UnknownKind { kind } => write!(f, "kind {kind:#06x} is unknown to this version"),
            EnvelopeError::UnknownVersion { kind, version } => {
                write!(f, "{kind:?} in version {version} is unknown to this version")
            }
            EnvelopeError::WrongKind { expected, found } => write!(f, "expected {expected:?}, found {found:?}"),
            EnvelopeError::BadBody { kind } => write!(f, "the body of {kind:?} does not decode"),
        }
    }
}

impl core::error::Error for EnvelopeError {}

/// Most envelopes are no longer than this: they are put together on the stack, and take one allocation of their exact size.
const SHORT: usize = 256;

/// Puts a body of version 1 in an envelope.
pub fn seal<T: Serialize>(kind: Kind, body: &T) -> Bytes {
    let mut short = [0; SHORT];
    short[..2].copy_from_slice(&(kind as u16).to_le_bytes());
    short[2] = 1;
    if let Ok(body) = postcard::to_slice(body, &mut short[3..]) {
        let length = 3 + body.len();
        return Bytes::copy_from_slice(&short[..length]);
    }
    let mut bytes = Vec::with_capacity(2 * SHORT);
    bytes.extend_from_slice(&(kind as u16).to_le_bytes());
    bytes.push(1);
    // Encoding to memory fails only for types that postcard cannot express (unsized sequences); ours are all plain.
    let bytes = postcard::to_extend(body, bytes).expect("postcard encodes every type of this crate");
    Bytes::from(bytes)
}

impl Envelope {
    /// Opens an envelope without decoding its body.
    pub fn parse(bytes: &Bytes) -> Result<Envelope, EnvelopeError> {
        let kind = Kind::of(bytes)?;
        Ok(Envelope { kind, version: bytes[2], body: bytes.slice(3..) })
    }

    /// Decodes a body of version 1, all of it.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, EnvelopeError> {
        decode(self.kind, self.version, &self.body)
    }
}

fn decode<T: DeserializeOwned>(kind: Kind, version: u8, body: &[u8]) -> Result<T, EnvelopeError> {
    if version != 1 {
        return Err(EnvelopeError::UnknownVersion { kind, version });
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(EnvelopeError::BadBody { kind }),
    }
}

/// Opens an envelope of one expected kind.
pub fn open<T: DeserializeOwned>(kind: Kind, bytes: &Bytes) -> Result<T, EnvelopeError> {
    let found = Kind::of(bytes)?;
    if found != kind {
        return Err(EnvelopeError::WrongKind { expected: kind, found });
    }
    decode(kind, bytes[2], &bytes[3..])
}
