//! Tab: names of those who spoke last first, commands, rooms, emoji.

use super::commands::COMMANDS;
use super::{Screen, emoji};

/// What was completed last, for the next Tab.
#[derive(Clone, Debug)]
pub struct Completion {
    from: usize,
    choices: Vec<String>,
    nth: usize,
}

impl Screen {
    /// The next choice, or with `back` the one before.
    pub(super) fn complete(&mut self, back: bool) {
        let completion = match self.completion.take() {
            Some(Completion { from, choices, nth }) => {
                let step = if back { choices.len() - 1 } else { 1 };
                Completion { from, nth: (nth + step) % choices.len(), choices }
            }
            None => {
                let (from, choices) = self.choices();
                if choices.is_empty() {
                    return;
                }
                Completion { from, choices, nth: 0 }
            }
        };
        let choice = completion.choices[completion.nth].clone();
        self.editor().replace(completion.from, &choice);
        // One choice alone leaves nothing to go on with.
        self.completion = (completion.choices.len() > 1).then_some(completion);
    }

    /// Where the word before the cursor begins, and what it may become.
    fn choices(&self) -> (usize, Vec<String>) {
        let before = self.editor_here().before_cursor();
        let from = before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[from..];
        let command = (from == 0).then(|| word.strip_prefix('/')).flatten();
        if let Some(begin) = command.filter(|begin| !begin.starts_with('/')) {
            let names = COMMANDS.iter().map(|known| known.name).filter(|name| name.starts_with(&begin.to_lowercase()));
            return (from, names.map(|name| format!("/{name} ")).collect());
        }
        if let Some(begin) = word.strip_prefix(':').filter(|begin| !begin.is_empty()) {
            let begin = begin.trim_end_matches(':');
            return (from, emoji::beginning(begin).into_iter().map(emoji::named).collect());
        }
        if let Some(begin) = word.strip_prefix('#') {
            return (from, self.room_names(begin).into_iter().map(|name| format!("#{name}")).collect());
        }
        if before.starts_with("/join ") {
            return (from, self.room_names(word));
        }
        let (sign, begin) = word.strip_prefix('@').map_or(("", word), |begin| ("@", begin));
        let after = match (sign, from) {
            ("", 0) => ": ",
            _ => "",
        };
        // A command tells names apart by spaces.
        let is_command = before.starts_with('/');
        let named = |name: String| match is_command && name.contains(char::is_whitespace) {
            true => format!("{sign}\"{name}\""),
            false => format!("{sign}{name}{after}"),
        };
        (from, self.nicks(begin).into_iter().map(named).collect())
    }

    fn room_names(&self, begin: &str) -> Vec<String> {
        let own = self.order.iter().filter_map(|id| self.rooms.get(id)).map(|room| &room.view.name);
        let names = own.chain(self.others.iter().map(|view| &view.name)).filter(|name| !name.is_empty());
        names.filter(|name| begins(name, begin)).cloned().collect()
    }

    /// Who spoke last first, then the other members.
    fn nicks(&self, begin: &str) -> Vec<String> {
        let Some(room) = self.current_room() else { return Vec::new() };
        let members = room.members.values().map(|member| &member.user.name);
        let mut nicks: Vec<String> = Vec::new();
        for name in room.speakers.iter().chain(members) {
            if begins(name, begin) && *name != self.name && !nicks.contains(name) {
                nicks.push(name.clone());
            }
        }
        nicks
    }
}

fn begins(name: &str, begin: &str) -> bool {
    name.to_lowercase().starts_with(&begin.to_lowercase())
}
