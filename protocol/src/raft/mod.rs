mod message;
pub use message::{Entry, RaftMessage};
