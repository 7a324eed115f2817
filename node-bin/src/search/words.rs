//! What a word is, and when two words are the same one: equally for what is indexed and for what is looked for.
//!
//! Case, accents and compatibility forms do not count ("Straße", "STRASSE"; "Ångström", "angstrom"). Chinese and Japanese have no spaces between words: there each character
//! is a word. Emoji and punctuation are none.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Bytes of a word that count: what is longer is the same word if it begins with these.
const LONGEST: usize = 64;

/// The words of a text, in its order.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    // Folding twice: decomposing a folded letter may leave an accent, and folding a decomposed one may leave a capital (Unicode 16, 3.13, D145).
    for letter in text.chars().nfkd().default_case_fold().nfkd().filter(|letter| !is_accent(*letter)) {
        if stands_alone(letter) {
            end(&mut word);
            word.push(letter);
            end(&mut word);
        } else if letter.is_alphanumeric() || is_combining_mark(letter) {
            let plain: &str = &plain(letter).map_or_else(|| letter.to_string(), String::from);
            if word.len() + plain.len() <= LONGEST {
                word.push_str(plain);
            }
        } else {
            end(&mut word);
        }
    }
    end(&mut word);
    words
}

/// Marks that are written above or below a letter and may be left out. Vowel signs of other scripts are no accents.
fn is_accent(letter: char) -> bool {
    matches!(letter,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{3099}' | '\u{309a}')
}

/// Han, hiragana and katakana.
fn stands_alone(letter: char) -> bool {
    matches!(letter, '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Letters with strokes and joined letters, which do not decompose.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_count() {
        assert_eq!(words("Ångström, STRASSE & Straße; Łódź"), ["angstrom", "strasse", "strasse", "lodz"]);
        assert_eq!(words("e\u{301}té ﬁn x²"), ["ete", "fin", "x2"]);
        assert_eq!(words("don't-stop@example.org"), ["don", "t", "stop", "example", "org"]);
    }

    #[test]
    fn scripts_without_spaces_go_letter_by_letter_and_vowel_signs_stay() {
        assert_eq!(words("東京タワー2"), ["東", "京", "タ", "ワ", "ー2"]);
        assert_eq!(words("हिन्दी"), words("हिन्दी "));
        assert_eq!(words("हिन्दी").len(), 1);
        assert_ne!(words("कि"), words("का"));
        assert!(words("😀 … !").is_empty());
    }

    #[test]
    fn a_word_without_end_is_cut() {
        assert_eq!(words(&"x".repeat(500)), ["x".repeat(64)]);
    }
}
