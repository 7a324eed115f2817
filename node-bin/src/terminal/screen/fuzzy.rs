//! How well a few letters fit a name: all of them in their order, best together, at the beginnings of words, early.

/// The higher the better; `None`: the letters do not stand in the name in this order.
pub fn score(letters: &str, name: &str) -> Option<i64> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let wanted: Vec<char> = letters.to_lowercase().chars().filter(|letter| !letter.is_whitespace()).collect();
    // Where the first letter may stand is tried in turn: the first place is not always the best.
    let starts = name.iter().enumerate().filter(|(_, letter)| Some(*letter) == wanted.first()).map(|(at, _)| at);
    if wanted.is_empty() {
        return Some(0);
    }
    starts.filter_map(|start| from(&wanted, &name, start)).max()
}

fn from(wanted: &[char], name: &[char], start: usize) -> Option<i64> {
    let (mut score, mut at, mut before) = (0, start, None::<usize>);
    for letter in wanted {
        let found = at + name.get(at..)?.iter().position(|there| there == letter)?;
        let begins_word = found == 0 || !name[found - 1].is_alphanumeric();
        let follows = before.is_some_and(|before| before + 1 == found);
        score += 10 + if begins_word { 8 } else { 0 } + if follows { 12 } else { 0 };
        before = Some(found);
        at = found + 1;
    }
    Some(score - start as i64 - (name.len() as i64 - wanted.len() as i64) / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_comes_first() {
        let best = |letters: &str, names: &[&str]| {
            let mut fit: Vec<_> = names.iter().filter_map(|name| Some((score(letters, name)?, *name))).collect();
            fit.sort_by(|a, b| b.cmp(a));
            fit.first().map_or("", |(_, name)| *name).to_owned()
        };
        assert_eq!(best("lob", &["#global-blob", "#lobby", "#lo-b"]), "#lobby");
        assert_eq!(best("dt", &["#edit", "#dev-talk"]), "#dev-talk");
        assert_eq!(best("ab", &["xaxb", "xaxbab"]), "xaxbab");
        assert_eq!(score("xyz", "#lobby"), None);
        assert_eq!(score("", "#lobby"), Some(0));
    }
}
