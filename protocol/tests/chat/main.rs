//! The rules of the chat as transcripts: who asks what, what came of it, and what was told to whom. Beside them a model, and rows and commands as this release writes them.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

macro_rules! transcript {
    ($(#[$doc:meta])* $name:ident, $script:literal) => {
        transcript!($(#[$doc])* $name, tertulia_protocol::contract::Limits::default(), $script);
    };
    ($(#[$doc:meta])* $name:ident, $limits:expr, $script:literal) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), crate::script::play_with($limits, $script));
            });
        }
    };
}

mod accounts;
mod following;
mod friends;
mod golden;
mod history;
mod house;
mod messages;
mod model;
mod random;
mod roles;
mod rooms;
mod rules;
mod script;
mod stage;
mod tentative;
mod totality;
