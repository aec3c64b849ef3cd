use crate::core::Core;
use crate::queue::{Queue, Request};
use crate::recover::Replay;
use crate::{DirLock, JournalOutput};
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often time is looked at: seals, heartbeats and checkpoints may be this much late.
const TICK: Duration = Duration::from_millis(200);

/// Fewer senders than this in the last group, and a commit does not wait for company.
const BUSY_REQUESTS_MIN: usize = 8;

/// The one thread that writes.
pub(crate) struct Writer {
    pub(crate) core: Core,
    pub(crate) queue: Arc<Queue>,
    pub(crate) output: Sender<JournalOutput>,
    /// Held until the last write is done.
    pub(crate) lock: Option<DirLock>,
}

impl Writer {
    /// Replays, then serves the queue until it is closed and empty.
    pub(crate) fn run(mut self, replay: Replay) {
        let _abandon = AbandonOnExit(self.queue.clone());
        self.replay(replay);
        let mut next_tick = Instant::now();
        let mut busy = 0;
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            let work = self.queue.take(wait, self.core.options.commit_delay, busy);
            // Half of the last group is back already or will be within the commit delay.
            busy = match work.appends.len() {
                few if few < BUSY_REQUESTS_MIN => 0,
                many => many / 2,
            };
            self.core.append(work.appends);
            self.deliver();
            if !work.retired.is_empty() {
                self.core.retire(&work.retired);
            }
            if let Some(request) = work.control
                && self.control(request)
            {
                break;
            }
            if work.finished {
                break;
            }
            if Instant::now() >= next_tick {
                self.core.tick();
                self.deliver();
                next_tick = Instant::now() + TICK;
            }
        }
        drop(self.lock);
    }

    fn replay(&mut self, replay: Replay) {
        for item in replay {
            match item {
                Ok(output) => self.send(output),
                Err(error) => tracing::error!(%error, "cannot replay a segment to the pipeline"),
            }
        }
        self.send(JournalOutput::Replayed);
    }

    /// True when it was the last request.
    fn control(&mut self, request: Request) -> bool {
        match request {
            Request::Append(_) => false,
            Request::Seal(stream, answer) => {
                let outcome = self.core.seal(stream.as_ref());
                self.deliver();
                drop(answer.send(outcome));
                false
            }
            Request::Turn(answer) => {
                drop(answer.send(self.core.turn()));
                false
            }
            Request::Mark(mark, answer) => {
                self.send(JournalOutput::Mark(mark));
                drop(answer.send(Ok(())));
                false
            }
            Request::Close(answer) => {
                self.queue.close();
                // What came in before the gate fell is still served.
                loop {
                    let work = self.queue.take(Duration::ZERO, Duration::ZERO, 0);
                    self.core.append(work.appends);
                    self.deliver();
                    self.core.retire(&work.retired);
                    if let Some(request) = work.control {
                        refuse(request);
                    }
                    if work.finished {
                        break;
                    }
                }
                let outcome = self.core.seal(None);
                self.deliver();
                self.core.sweep();
                drop(answer.send(outcome));
                true
            }
        }
    }

    fn deliver(&mut self) {
        for output in std::mem::take(&mut self.core.outbox) {
            self.send(output);
        }
    }

    /// Waits while the pipeline is behind; this is what holds senders back. A pipeline that is
    /// gone will read the records at the next start.
    fn send(&self, output: JournalOutput) {
        drop(self.output.send(output));
    }
}

/// Should the writer ever panic, its senders get an error instead of no answer.
struct AbandonOnExit(Arc<Queue>);

impl Drop for AbandonOnExit {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn refuse(request: Request) {
    match request {
        Request::Seal(_, answer)
        | Request::Turn(answer)
        | Request::Mark(_, answer)
        | Request::Close(answer) => {
            drop(answer.send(Err(crate::JournalError::Closed)));
        }
        Request::Append(_) => {}
    }
}
