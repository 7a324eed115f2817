//! Stand-in until the real store is merged.
use std::future::Future;
use tertulia_protocol::contract::*;
use tertulia_protocol::ids::*;

pub enum Job {
    Append { id: BatchId, batch: Batch },
    Apply { through: Index, rows: RowBatch },
    Load { id: LoadId, query: Query },
}

pub enum Done {
    Stored { up_to: BatchId },
    StoreFailed { batch: BatchId, error: StoreError },
    Loaded { id: LoadId, loaded: Result<Loaded, StoreError> },
    RowsFailed { error: StoreError },
}

pub trait Store: Send + 'static {
    fn submit(&mut self, job: Job);
    fn done(&mut self) -> impl Future<Output = Done> + Send;
}
