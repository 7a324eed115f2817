//! The store of a simulated node, which has no thread.

use super::{Came, Done, Job, LogLane, RowsLane, Store, is_for_log};
use crate::disk::Disk;
use crate::folder::Opened;
use crate::log::MARK_AFTER;
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use tertulia_protocol::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The store of a simulated node: the same lanes, run inside the caller's task, with the time that a disk takes given from outside.
///
/// A batch that comes while no sync is under way is written at once; the others wait for that sync to end, as they do for a real log's thread.
/// So nothing becomes durable before its own latency has elapsed. A group takes as long as its slowest batch.
pub struct InlineStore<D: Disk, L> {
    log: LogLane<D>,
    rows: RowsLane,
    latency: L,
    /// Jobs of the log that wait for the sync under way.
    queue: VecDeque<Job>,
    /// When the sync under way ends.
    syncing: Option<Instant>,
    /// When the idle log gets its mark.
    mark_at: Option<Instant>,
    /// What is done and not yet told, by when it is to be told and in order of its making.
    answers: BTreeMap<(Instant, u64), Done>,
    made: u64,
    /// No answer of the rows comes before this.
    rows_busy: Option<Instant>,
}

impl<D: Disk, L: FnMut(&Job) -> Duration + Send + 'static> InlineStore<D, L> {
    /// `latency` says how long a job takes; it is asked once for each, when the job is begun: a disk that stands still until some moment does not stand still again
    /// for what had to wait for it.
    pub fn new(opened: Opened<D>, latency: L) -> InlineStore<D, L> {
        InlineStore {
            log: LogLane::new(opened.log, opened.kept),
            rows: RowsLane::new(opened.rows),
            latency,
            queue: VecDeque::new(),
            syncing: None,
            mark_at: None,
            answers: BTreeMap::new(),
            made: 0,
            rows_busy: None,
        }
    }

    fn answer(&mut self, at: Instant, done: Option<Done>) {
        if let Some(done) = done {
            self.made += 1;
            self.answers.insert((at, self.made), done);
        }
    }

    /// Writes what waits, unless a sync is under way.
    fn write_queue(&mut self, now: Instant) {
        if self.syncing.is_some() {
            return;
        }
        let mut longest = Duration::ZERO;
        while let Some(job) = self.queue.pop_front() {
            let latency = (self.latency)(&job);
            let done = self.log.run(&job);
            let at = if matches!(job, Job::Append { .. } | Job::Keep { .. }) {
                longest = longest.max(latency);
                now
            } else {
                now + latency
            };
            self.answer(at, done);
        }
        if self.log.waiting.is_some() && self.log.failed.is_none() || self.log.kept.waits() {
            self.syncing = Some(now + longest);
            self.mark_at = None;
        } else if self.mark_at.is_none() && (self.log.needs_mark() || self.log.kept.needs_mark()) {
            self.mark_at = Some(now + MARK_AFTER);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
        [self.syncing, answer, self.mark_at, self.rows.due].into_iter().flatten().min()
    }
}

impl<D: Disk, L: FnMut(&Job) -> Duration + Send + 'static> Store for InlineStore<D, L> {
    fn submit(&mut self, job: Job) {
        let now = Instant::now();
        if is_for_log(&job) {
            self.queue.push_back(job);
            self.write_queue(now);
            return;
        }
        let latency = (self.latency)(&job);
        let came = self.rows.run(&job, self.log.log.durable_through());
        self.rows.settle_at(now);
        let done = match came {
            Some(Came::Of(done)) => Some(done),
            Some(Came::Trim(through)) => {
                self.queue.push_back(Job::Trim { through });
                return self.write_queue(now);
            }
            None => None,
        };
        let at = self.rows_busy.map_or(now + latency, |busy| busy.max(now + latency));
        if matches!(done, Some(Done::Loaded { .. } | Done::Installed)) {
            self.rows_busy = Some(at);
        }
        self.answer(at, done);
    }

    async fn done(&mut self) -> Done {
        loop {
            let Some(at) = self.next_event() else { return pending().await };
            // The only point where this can be dropped: nothing has changed yet.
            sleep_until(at).await;
            let now = Instant::now();
            if self.syncing.is_some_and(|end| end <= at) {
                self.syncing = None;
                let done = self.log.sync();
                self.answer(at, done);
                let kept = self.log.kept.sync();
                self.answer(at, kept);
                self.write_queue(now);
            } else if self.mark_at.is_some_and(|mark| mark <= at) {
                self.mark_at = None;
                let done = self.log.mark();
                self.answer(at, done);
                let kept = self.log.kept.mark();
                self.answer(at, kept);
            } else if self.rows.due.is_some_and(|due| due <= at) {
                let done = self.rows.settle(at);
                self.answer(at, done);
            }
            if let Some(first) = self.answers.first_entry().filter(|first| first.key().0 <= at) {
                return first.remove();
            }
        }
    }
}
