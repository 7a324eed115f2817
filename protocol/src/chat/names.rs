//! Names that cannot be mistaken for one another, and text that cannot spill over into what stands beside it.
//!
//! A name is kept as NFKC gives it. Two names are the same user's if their case folds are equal (Unicode 3.13, D145); two that differ but look alike (UTS 39, skeletons)
//! are refused to the second one. The tables behind this are part of the replicated state machine: all nodes must use the same ones, and a test holds their digest.

use super::Refusal;
use crate::contract::Limits;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// A name, and by what it is told from others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    /// As it is shown.
    pub(super) shown: String,
    /// Equal for names that are the same.
    pub(super) folded: String,
    /// Equal for names that look the same.
    pub(super) looks: String,
}

impl Name {
    pub(super) fn of(name: &str) -> Name {
        let shown: String = name.nfkc().collect();
        let folded = fold(&shown);
        Name { looks: looks(&folded), shown, folded }
    }
}

/// A skeleton may hold capitals (that of a zero is an O): it is folded, too.
fn looks(folded: &str) -> String {
    fold(&skeleton(folded).collect::<String>())
}

/// Names and whose they are. Of several that have one name the oldest counts, whoever came and went in between: a chat from its rows says the same.
#[derive(Clone, Debug)]
pub(super) struct Names<I>(BTreeMap<String, (I, Vec<I>)>);

impl<I: Copy + Ord> Names<I> {
    pub(super) fn new() -> Names<I> {
        Names(BTreeMap::new())
    }

    pub(super) fn first(&self, name: &str) -> Option<I> {
        self.0.get(name).map(|(first, _)| *first)
    }

    /// All who have the name, the oldest first.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = I> {
        self.0.get(name).into_iter().flat_map(|(first, others)| core::iter::once(*first).chain(others.iter().copied()))
    }

    pub(super) fn add(&mut self, name: String, id: I) {
        let (first, others) = self.0.entry(name).or_insert_with(|| (id, Vec::new()));
        let later = if id < *first { core::mem::replace(first, id) } else { id };
        if later == *first {
            return;
        }
        if let Err(place) = others.binary_search(&later) {
            others.insert(place, later);
        }
    }

    pub(super) fn remove(&mut self, name: &str, id: I) {
        let Some((first, others)) = self.0.get_mut(name) else { return };
        if *first != id {
            others.retain(|other| *other != id);
        } else if others.is_empty() {
            self.0.remove(name);
        } else {
            *first = others.remove(0);
        }
    }
}

/// NFKC, case folded, NFKC again: folding may leave what is not normal.
pub(super) fn fold(name: &str) -> String {
    caseless::default_case_fold_str(&name.nfkc().collect::<String>()).nfkc().collect()
}

/// Names are shown beside others: nothing invisible, nothing that runs together with its surroundings, no mark that starts a mention.
pub(super) fn check_name(name: &str, limits: &Limits) -> Result<(), Refusal> {
    if is_blank(name) {
        return Err(Refusal::EmptyName);
    }
    if name.len() > limits.name_bytes as usize {
        return Err(Refusal::NameTooLong { bytes: name.len() as u32, limit: limits.name_bytes });
    }
    if name.trim() != name || name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(Refusal::BadName);
    }
    // Normalising may make a name longer, or a space of what was none.
    let shown: String = name.nfkc().collect();
    if shown.len() > 2 * limits.name_bytes as usize {
        return Err(Refusal::NameTooLong { bytes: shown.len() as u32, limit: limits.name_bytes });
    }
    // Two spaces are shown as one, and what combines is shown upon what stands before the name.
    let spaces = shown.chars().zip(shown.chars().skip(1)).any(|(a, b)| a.is_whitespace() && b.is_whitespace());
    let begins_badly = shown.starts_with(|c: char| c == '@' || is_combining_mark(c));
    if shown.trim() != shown || is_blank(&shown) || spaces || begins_badly { Err(Refusal::BadName) } else { Ok(()) }
}

/// The first letter for which a name is refused, where it is a letter.
pub fn bad_letter(name: &str) -> Option<char> {
    let outside = name.chars().next().filter(|c| c.is_whitespace() || *c == '@' || is_combining_mark(*c));
    let last = name.chars().next_back().filter(|c| c.is_whitespace());
    outside.or_else(|| name.chars().find(|c| c.is_control() || is_invisible(*c))).or(last)
}

/// A room's name is no number either: numbers are ids.
pub(super) fn check_room_name(name: &str, limits: &Limits) -> Result<(), Refusal> {
    check_name(name, limits)?;
    if name.nfkc().all(|c| c.is_ascii_digit()) { Err(Refusal::BadName) } else { Ok(()) }
}

/// Characters that take no room, or turn those around them: two names that differ by them alone look the same.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that turn the direction of what comes after them (UAX 9).
pub(super) fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// Whether a text may be a message of at most `limit` bytes.
pub(super) fn check_text(text: &str, limit: u32) -> Result<(), Refusal> {
    // Control characters are not kept: of a text that has nothing else nothing would be left.
    if text.chars().all(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        return Err(Refusal::EmptyText);
    }
    if text.len() > limit as usize {
        return Err(Refusal::TextTooLong { bytes: text.len() as u32, limit });
    }
    Ok(())
}

/// A text as it is kept: lines end with `\n`, no control characters but that and tabs, and whatever turns the direction of writing (UAX 9) ends with its paragraph,
/// so that it turns nothing of what is shown after it.
pub(super) fn clean_text(text: String) -> String {
    let is_plain = |c: char| !c.is_control() && !turns_direction(c);
    if text.chars().all(|c| is_plain(c) || c == '\n' || c == '\t') {
        return text;
    }
    let mut clean = String::with_capacity(text.len() + 4);
    // What closes each open embedding or isolate, innermost last.
    let mut open: Vec<char> = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' => {
                clean.extend(open.drain(..).rev());
                clean.push('\n');
            }
            '\t' => clean.push('\t'),
            c if c.is_control() => {}
            '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' if open.len() < 125 => {
                open.push('\u{202c}');
                clean.push(c);
            }
            '\u{2066}'..='\u{2068}' if open.len() < 125 => {
                open.push('\u{2069}');
                clean.push(c);
            }
            '\u{202c}' | '\u{2069}' => {
                // One that closes nothing here would close what is around the message.
                if open.last() == Some(&c) {
                    open.pop();
                    clean.push(c);
                }
            }
            c if turns_direction(c) => {}
            c => clean.push(c),
        }
    }
    clean.extend(open.drain(..).rev());
    clean
}

/// The names after an `@` in a text, folded, in order, at most `limit`: a name ends at white space or at punctuation that no name of ours needs.
pub(super) fn mentioned(text: &str, limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == '@' && !before.is_alphanumeric() {
            let rest = &text[at + 1..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len());
            let name = rest[..end].trim_end_matches(['.', '-']);
            if !name.is_empty() && names.len() < limit {
                names.push(fold(name));
            }
        }
        before = c;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_that_is_not_allowed_is_named() {
        let limits = Limits::default();
        for (name, letter) in [
            ("@ana", '@'),
            (" ana", ' '),
            ("ana ", ' '),
            ("a\u{200b}na", '\u{200b}'),
            ("a\u{7}na", '\u{7}'),
            ("\u{301}ana", '\u{301}'),
        ] {
            assert_eq!(bad_letter(name), Some(letter), "{name:?}");
            assert_eq!(check_name(name, &limits), Err(Refusal::BadName), "{name:?}");
        }
        assert_eq!(bad_letter("ana b@c"), None);
    }

    #[test]
    fn names_that_differ_in_form_or_case_are_the_same_name() {
        let same = |a: &str, b: &str| Name::of(a).folded == Name::of(b).folded;
        assert!(same("Ada", "aDA"));
        assert!(same("Straße", "STRASSE"));
        assert!(same("\u{fb01}n", "fin"), "a ligature");
        assert!(same("Ａｄａ", "ada"), "full width");
        assert!(same("A\u{30a}sa", "åsa"), "composed and decomposed");
        assert!(!same("ada", "adam"));
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        let alike = |a: &str, b: &str| Name::of(a).looks == Name::of(b).looks;
        assert!(alike("аda", "ada"), "a Cyrillic а");
        assert!(alike("pau1", "paul"));
        assert!(!alike("paul", "paula"));
    }

    #[test]
    fn a_skeleton_is_folded_as_names_are() {
        assert_eq!(Name::of("l0bby").looks, Name::of("lobby").looks);
        assert_eq!(Name::of("LOBBY").looks, Name::of("lobby").looks);
        assert_ne!(Name::of("lobby").looks, Name::of("hobby").looks);
    }

    #[test]
    fn a_name_is_one_line_of_visible_characters_that_stands_for_itself() {
        let limits = Limits { name_bytes: 64, ..Limits::default() };
        let check = |name: &str| check_name(name, &limits);
        for good in
            ["Ada Lovelace", "o'neil", "a@b.example", "李", "עדה", "Zoë", "-", "7", "👩‍👩‍👧".split('\u{200d}').next().unwrap_or("")]
        {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in [
            " ada",
            "ada ",
            "a  b",
            "a\u{a0} b",
            "a\nb",
            "a\tb",
            "a\u{2028}b",
            "@ada",
            "\u{ff20}ada",
            "\u{301}a",
            "a\u{200d}b",
            "a\u{2800}b",
            "\u{202e}ada",
            "\u{1d173}a",
            "a\u{e0041}",
        ] {
            assert_eq!(check(bad), Err(Refusal::BadName), "{bad:?}");
        }
        for blank in ["", " ", "\u{200b}", "\u{3164}", "\u{2800}", "\u{a0}\u{3000}"] {
            assert_eq!(check(blank), Err(Refusal::EmptyName), "{blank:?}");
        }
        // One character of three bytes that NFKC makes 33 of.
        let expands = "\u{fdfa}".repeat(21);
        assert_eq!(check(&expands), Err(Refusal::NameTooLong { bytes: 693, limit: 64 }));
        assert_eq!(check(&"a".repeat(65)), Err(Refusal::NameTooLong { bytes: 65, limit: 64 }));
        assert_eq!(check("\u{fdfa}"), Ok(()));
    }

    #[test]
    fn the_name_of_a_room_is_no_number_in_any_digits_that_are_folded_to_ours() {
        let limits = Limits::default();
        for number in ["12", "\u{ff11}\u{ff12}", "\u{b2}", "\u{1d7d8}"] {
            assert_eq!(check_room_name(number, &limits), Err(Refusal::BadName), "{number:?}");
        }
        for name in ["12a", "-12", "1 2", "\u{661}"] {
            assert_eq!(check_room_name(name, &limits), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn the_oldest_who_has_a_name_has_it_whoever_came_before() {
        let mut names = Names::new();
        for id in [3, 1, 2, 2] {
            names.add("ada".into(), id);
        }
        assert_eq!(names.all("ada").collect::<Vec<_>>(), [1, 2, 3]);
        names.remove("ada", 1);
        assert_eq!(names.first("ada"), Some(2));
        names.remove("ada", 3);
        names.remove("ada", 3);
        names.remove("ada", 2);
        assert_eq!((names.first("ada"), names.0.len()), (None, 0));
    }

    proptest::proptest! {
        /// A name that is kept is found again by what is shown of it, and by how anybody writes it.
        #[test]
        fn what_is_shown_of_a_name_is_that_name(name in "\\PC{1,20}") {
            let known = Name::of(&name);
            let shown = Name::of(&known.shown);
            proptest::prop_assert_eq!(&shown, &known);
            proptest::prop_assert_eq!(fold(&known.folded), known.folded);
            if check_name(&name, &Limits::default()).is_ok() {
                let wide = Limits { name_bytes: 128, ..Limits::default() };
                proptest::prop_assert_eq!(check_name(&known.shown, &wide), Ok(()));
            }
        }
    }

    #[test]
    fn a_text_turns_nothing_of_what_comes_after_it() {
        assert_eq!(clean_text("a\r\nb\u{7}c\td".into()), "a\nbc\td");
        assert_eq!(clean_text("\u{202e}evil".into()), "\u{202e}evil\u{202c}");
        assert_eq!(clean_text("\u{2067}a\nb".into()), "\u{2067}a\u{2069}\nb");
        assert_eq!(clean_text("no \u{2069}\u{202c}end".into()), "no end");
        assert_eq!(clean_text("עברית ok 👩‍👩‍👧".into()), "עברית ok 👩‍👩‍👧");
    }

    #[test]
    fn a_text_of_which_nothing_would_be_left_is_empty() {
        for empty in ["", " \n", "\u{200b}", "\0\u{1b}", "\u{7f} \u{202e}\u{202c}"] {
            assert_eq!(check_text(empty, 99), Err(Refusal::EmptyText), "{empty:?}");
        }
        assert_eq!(check_text("\0.", 99), Ok(()));
    }

    #[test]
    fn a_mention_is_an_at_sign_before_a_name_and_not_in_a_mail_address() {
        assert_eq!(mentioned("@Ada, @bob. mail@example.org (@carl-) @", 10), ["ada", "bob", "carl"]);
        assert_eq!(mentioned("@a @b @c", 2), ["a", "b"]);
    }

    /// All nodes must fold alike. If this fails, a library has brought other tables: that is a new version of the cluster, to be switched on when all nodes have it.
    #[test]
    fn the_tables_behind_names_are_part_of_the_replicated_state_machine() {
        let mut digest = xxhash_rust::xxh3::Xxh3::new();
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let name = Name::of(c.encode_utf8(&mut [0; 4]));
            digest.update(name.shown.as_bytes());
            digest.update(name.folded.as_bytes());
            digest.update(name.looks.as_bytes());
        }
        insta::assert_snapshot!(alloc::format!("{:016x}", digest.digest()), @"01312097f553a1e7");
    }
}
