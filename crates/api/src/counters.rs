use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the HTTP listener has done since it started; read with [`HttpCounters::snapshot`].
        /// See [`HttpCounts`] for each number.
        #[derive(Debug, Default)]
        pub struct HttpCounters {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// The state of [`HttpCounters`] at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct HttpCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl HttpCounters {
            /// All numbers. They are read one after another, not as one.
            pub fn snapshot(&self) -> HttpCounts {
                HttpCounts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Requests whose head was read.
    requests,
    /// Bytes of bodies that were read, as they were sent.
    body_bytes,
    /// Bodies refused because they were too large.
    bodies_too_large,
    /// Bodies given up because they came too slowly.
    bodies_too_slow,
    /// Bodies that ended before they were complete.
    bodies_cut,
    /// Bodies refused for now because those of others filled the memory for them.
    bodies_without_room,
    /// Answers that named a fault of the caller (4xx).
    answers_refused,
    /// Answers that named a fault of ours (5xx).
    answers_failed,
    /// Connections accepted.
    connections,
    /// Connections open now.
    connections_open,
    /// Connections refused because all that were open had a request at work.
    connections_refused,
    /// Connections closed because they were silent for too long.
    connections_idle_closed,
    /// Connections without a request closed to make room for another.
    connections_displaced,
    /// Connections closed because the head of their request took too long.
    connections_slow_closed,
    /// Connections closed because nobody read what we answered.
    connections_unread_closed,
    /// Connections that ended with an error, such as one that did not speak HTTP.
    connections_failed,
    /// Failures to accept a connection, such as too many open files.
    accept_errors,
}

pub(crate) fn count(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}
