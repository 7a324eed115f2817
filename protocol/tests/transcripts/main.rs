//! The rules of replication as transcripts: each shows one rule at work, from commands to what every node says, writes and knows.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../common/mod.rs"]
mod common;

use common::stage;

macro_rules! transcript {
    ($(#[$doc:meta])* $name:ident, $script:literal) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), play($script));
            });
        }
    };
}

mod elections;
mod membership;
mod reads;
mod repair;
mod replication;
mod succession;
mod transfer;
#[cfg(feature = "zoo")]
mod zoo;
