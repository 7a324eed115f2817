//! Why the log could not do what it was asked.

use super::record::MAX_BODY;
use super::votes::VOTE_FILE;
use std::fmt;
use std::io;
use tertulia_protocol::ids::Index;

/// What to do with a folder that has lost something without which no node can be run on it.
///
/// Nothing refuses an older copy of it, for that has the same incarnation: so the text must.
pub(crate) const FOLDER_IS_LOST: &str = "The folder counts as lost: do not start a node on it again, nor on an older copy of it, \
    which would have forgotten its votes and what it acknowledged. Replace the node: start it with a new, empty folder and \
    `node serve --join http://ANOTHER-NODE --replace ID`, where ID is this node's id; the cluster goes on while a majority of its nodes runs";

/// Why the log could not do what it was asked. Each text says what to do.
#[derive(Debug)]
pub enum LogError {
    /// The disk failed.
    Io(io::Error),
    /// Something that was read is not as it was written, after the log had been opened and was whole.
    Rot { file: String, offset: u64, what: String },
    /// Term and vote cannot be read, or may not be the newest.
    Votes { why: &'static str },
    /// The entries of a batch do not follow on what the log holds.
    Gap { index: Index, last: Index },
    /// One entry is greater than any record may be.
    TooLong { index: Index, bytes: usize },
    /// The log does not hold these entries.
    NotHere { from: Index, last: Index },
    /// The log has been trimmed, and begins above these entries.
    Trimmed { from: Index, start: Index },
    /// An earlier write failed.
    Failed { earlier: String },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Io(error) => write!(f, "{error}"),
            LogError::Rot { file, offset, what } => write!(
                f,
                "the log is damaged in file {file} at byte {offset} ({what}): a start judges the damage, and the node \
                 repairs itself from the others. If this comes again, check the disk"
            ),
            LogError::Votes { why } => write!(
                f,
                "the file {VOTE_FILE} {why}: this node no longer knows for sure whom it voted for, and could vote twice in one term. {FOLDER_IS_LOST}"
            ),
            LogError::Gap { index, last } => {
                write!(f, "entry {index} was to be written after entry {last}: this is a bug, please report it")
            }
            LogError::TooLong { index, bytes } => {
                write!(f, "entry {index} has {bytes} bytes, more than the {MAX_BODY} that a record of the log may have")
            }
            LogError::NotHere { from, last } => write!(f, "entry {from} is not in the log, which ends at {last}"),
            LogError::Trimmed { from, start } => {
                write!(
                    f,
                    "entry {from} is no longer in the log, which begins after {start}: a snapshot stands for what lies below"
                )
            }
            LogError::Failed { earlier } => {
                write!(f, "the log takes nothing more since a write failed ({earlier}): check the disk and start the node again")
            }
        }
    }
}

impl std::error::Error for LogError {}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        LogError::Io(error)
    }
}
