//! Makes a folder that begins with the rows of a backup ([`Founding`]) and a log behind them.
//!
//! As with an empty folder the marker file stands first and the identity comes last: a crash in between leaves something that is no folder yet and is begun again.

use super::*;
use crate::rows::Making;
use tertulia_protocol::contract::Batch;
use tertulia_protocol::replica::Founding;

/// Why a folder could not be made.
#[derive(Debug)]
pub enum MakeError<E> {
    /// What the folder says.
    Folder(OpenError),
    /// It is a node's folder already.
    Taken,
    /// The rows do not come. This is why.
    Rows(E),
}

impl<E, F: Into<OpenError>> From<F> for MakeError<E> {
    fn from(error: F) -> Self {
        MakeError::Folder(error.into())
    }
}

/// Makes the folder of the founder of a new cluster, durably. `rows`: the backup's rows, some at a time and each once, until there are none.
///
/// # Errors
/// See [`MakeError`]. It is then no node's folder, and can be tried again.
pub fn make<D: Disk, E>(
    disk: &D,
    identity: FolderIdentity,
    incarnation: Incarnation,
    options: StoreOptions,
    founding: &Founding,
    mut rows: impl FnMut() -> Result<Option<Vec<(Bytes, Bytes)>>, E>,
) -> Result<(), MakeError<E>> {
    let names = disk.list()?;
    if names.iter().any(|name| name == IDENTITY_FILE) {
        return Err(MakeError::Taken);
    }
    check_empty(&names)?;
    begin_creating(disk, &names)?;
    let making = Making::begin(disk, options.rows)?;
    while let Some(some) = rows().map_err(MakeError::Rows)? {
        making.add(&some)?;
    }
    making.finish(&founding.rows, founding.applied.position)?;
    let salt = salt(incarnation);
    Log::create(disk, salt, options.segment_bytes)?;
    let mut log = Log::open(disk.clone(), salt, options.segment_bytes)?;
    let (reset, vote) = (Some(founding.applied.position), Some(founding.vote));
    log.append(&Batch { reset, vote, ..Batch::default() })?;
    log.sync()?;
    log.write_mark()?;
    drop(log);
    Ok(finish_creating(disk, identity, incarnation)?)
}
