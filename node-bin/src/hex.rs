//! Bytes as hexadecimal digits.

use tertulia_protocol::gateway::Token;

pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `None` if a digit is wrong or one is missing.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

/// A token as clients write it: 64 digits.
pub fn token(text: &str) -> Option<Token> {
    decode(text)?.try_into().ok().map(Token)
}

/// A data folder's incarnation as nodes write it: 32 digits.
pub fn incarnation(text: &str) -> Option<u128> {
    decode(text)?.try_into().ok().map(u128::from_be_bytes)
}

/// A fresh token.
pub fn draw_token() -> Token {
    Token(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(encode(&[0, 9, 0xaf, 0xff]), "0009afff");
        assert_eq!(decode("0009AFff"), Some(vec![0, 9, 0xaf, 0xff]));
        let drawn = draw_token();
        assert_eq!(token(&encode(&drawn.0)), Some(drawn));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "0", "0g", "é9", &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(token(text), None, "{text}");
        }
    }
}
