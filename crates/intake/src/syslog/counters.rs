use std::sync::atomic::{AtomicU64, Ordering};

/// A number that other threads read while it moves.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the syslog listeners have done since they started; read with
        /// [`SyslogCounters::snapshot`]. See [`SyslogCounts`] for each number.
        #[derive(Debug, Default)]
        pub struct SyslogCounters {
            $(pub(super) $name: Count,)*
        }

        /// The state of [`SyslogCounters`] at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct SyslogCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl SyslogCounters {
            /// All numbers. They are read one after another, not as one.
            pub fn snapshot(&self) -> SyslogCounts {
                SyslogCounts { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Records made durable.
    records,
    /// Payload bytes received, framing included.
    bytes,
    /// Messages longer than the limit, kept up to it.
    cut,
    /// Bytes of such messages that were not kept.
    cut_bytes,
    /// Messages that were unfinished when their connection ended; kept as they were.
    unfinished,
    /// Empty lines and empty datagrams, of which no record is made.
    blank,
    /// Times the sink refused records for now and they were offered again.
    stalls,
    /// Records lost because the sink had closed, or because we stopped while it was full.
    lost,
    /// TCP connections accepted.
    connections,
    /// TCP connections open now.
    connections_open,
    /// TCP connections closed at once because too many were open.
    connections_refused,
    /// TCP connections closed because they were silent for too long.
    connections_idle_closed,
    /// TCP connections that ended with an error.
    connections_failed,
    /// Failures to accept a TCP connection, such as too many open files.
    accept_errors,
    /// Datagrams received.
    datagrams,
    /// Datagrams the kernel dropped because its receive buffer was full.
    datagrams_dropped_by_kernel,
    /// Failures to receive a datagram.
    receive_errors,
    /// The UDP receive buffer the kernel granted, in bytes.
    udp_receive_buffer_bytes,
}
