//! Names of the emoji that people react with, as they are known from other chats.

/// In the order in which they are offered.
pub const NAMED: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("heart", "❤"),
    ("joy", "😂"),
    ("tada", "🎉"),
    ("open_mouth", "😮"),
    ("cry", "😢"),
    ("eyes", "👀"),
    ("check", "✅"),
    ("-1", "👎"),
    ("100", "💯"),
    ("angry", "😠"),
    ("bug", "🐛"),
    ("bulb", "💡"),
    ("cake", "🍰"),
    ("clap", "👏"),
    ("coffee", "☕"),
    ("confused", "😕"),
    ("cross", "❌"),
    ("dizzy", "💫"),
    ("fire", "🔥"),
    ("flushed", "😳"),
    ("grin", "😁"),
    ("hourglass", "⏳"),
    ("hug", "🤗"),
    ("kiss", "😘"),
    ("laughing", "😆"),
    ("muscle", "💪"),
    ("neutral", "😐"),
    ("ok", "👌"),
    ("party", "🥳"),
    ("pray", "🙏"),
    ("question", "❓"),
    ("rainbow", "🌈"),
    ("rocket", "🚀"),
    ("rofl", "🤣"),
    ("salute", "🫡"),
    ("scream", "😱"),
    ("shrug", "🤷"),
    ("skull", "💀"),
    ("sleepy", "😴"),
    ("slight_smile", "🙂"),
    ("smile", "😄"),
    ("sob", "😭"),
    ("sparkles", "✨"),
    ("star", "⭐"),
    ("sunglasses", "😎"),
    ("sweat_smile", "😅"),
    ("thinking", "🤔"),
    ("thumbsdown", "👎"),
    ("thumbsup", "👍"),
    ("turtle", "🐢"),
    ("upside_down", "🙃"),
    ("warning", "⚠"),
    ("wave", "👋"),
    ("wink", "😉"),
    ("worried", "😟"),
    ("yum", "😋"),
    ("zap", "⚡"),
];

/// What is offered first, under the digits from 1.
pub const OFFERED: usize = 8;

/// `:+1:`, `+1` or an emoji itself, as it is sent. A name that is not known stays as it is written.
pub fn named(text: &str) -> String {
    let name = text.trim().trim_matches(':');
    NAMED.iter().find(|(known, _)| *known == name).map_or_else(|| text.trim().to_owned(), |(_, emoji)| (*emoji).to_owned())
}

/// Names that begin so.
pub fn beginning(begin: &str) -> Vec<&'static str> {
    NAMED.iter().map(|(name, _)| *name).filter(|name| name.starts_with(begin)).collect()
}
