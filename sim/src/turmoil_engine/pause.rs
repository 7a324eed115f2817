//! A process that is stopped as if by SIGSTOP: the node's task is not polled, so that nothing is handled and no timer fires.
//!
//! The tasks that move bytes between sockets and the node's queues go on until those are full, as the operating system's buffers would: connections
//! stay up, and what waits is bounded by the driver's own queues.

use super::stage::Stage;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How often it is looked whether the process may go on: turmoil's clock is no finer.
const LOOK: Duration = Duration::from_millis(2);

/// Polls a node's task, except while the node is paused.
pub async fn while_not_paused<T>(stage: &Arc<Stage>, node: usize, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let mut look: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(move |context| {
        while stage.paused[node].load(Relaxed) {
            let sleeping = look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            if sleeping.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            look = None;
        }
        look = None;
        task.as_mut().poll(context)
    })
    .await
}
