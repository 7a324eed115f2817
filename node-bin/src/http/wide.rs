//! JSON for readers whose numbers are doubles, as JavaScript's are: what a double cannot hold exactly is text.
//!
//! - A number of 128 bits is an id: 32 hex digits, as the rest of the interface writes it. However small it is, so a field's type never changes.
//! - Any other whole number beyond 2^53 - 1 is its decimal digits.

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// The largest whole number up to which a double holds every one.
const SAFE: u64 = (1 << 53) - 1;

struct Wide;

impl Formatter for Wide {
    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value > SAFE { write!(writer, "\"{value}\"") } else { write!(writer, "{value}") }
    }

    fn write_i64<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() > SAFE { write!(writer, "\"{value}\"") } else { write!(writer, "{value}") }
    }

    fn write_u128<W: ?Sized + Write>(&mut self, writer: &mut W, value: u128) -> io::Result<()> {
        write!(writer, "\"{value:032x}\"")
    }
}

/// A value as JSON.
///
/// # Errors
///
/// Those of the value itself: a map whose keys are no text, say.
pub fn to_string(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Wide))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use tertulia_protocol::gateway::{Event, EventKind, TentativePost};
    use tertulia_protocol::ids::*;
    use tertulia_protocol::time::Timestamp;

    #[test]
    fn what_a_double_cannot_hold_is_text() {
        assert_eq!(
            to_string(&[0, SAFE, SAFE + 1, u64::MAX]).unwrap(),
            r#"[0,9007199254740991,"9007199254740992","18446744073709551615"]"#
        );
        assert_eq!(to_string(&[i64::MIN, -1]).unwrap(), r#"["-9223372036854775808",-1]"#);
        assert_eq!(to_string(&MessageId(7)).unwrap(), r#""00000000000000000000000000000007""#);
    }

    #[test]
    fn an_event_reads_as_the_enums_stand() {
        let order = (Timestamp(1_500_000), OutboxId { node: NodeId(2), boot: Boot(u64::MAX) }, 3);
        let (author, author_name, text) = (UserId(3), "ana".into(), "\u{1}\"<b>\u{2028}".to_owned());
        let post = TentativePost {
            id: MessageId(u128::MAX),
            author,
            author_name,
            text: text.clone(),
            reply_to: None,
            written_at: Timestamp(1_500_000),
            order,
            copies: 2,
        };
        let event = Event { room: RoomId(1), cursor: 0, kind: EventKind::Tentative(Box::new(post)) };
        let read: Value = serde_json::from_str(&to_string(&event).unwrap()).unwrap();
        let post = &read["kind"]["Tentative"];
        assert_eq!((&post["id"], &post["text"]), (&Value::from("f".repeat(32)), &Value::from(text)));
        assert_eq!(post["order"], serde_json::json!([1_500_000, {"node": 2, "boot": "18446744073709551615"}, 3]));
    }
}
