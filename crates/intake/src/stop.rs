use tokio::sync::watch;

/// Tells listeners to end. Dropping it ends them too.
#[derive(Debug)]
pub struct StopSource(watch::Sender<bool>);

/// Hears from a [`StopSource`].
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

/// A source and its first signal.
pub fn stop_pair() -> (StopSource, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (StopSource(sender), StopSignal(receiver))
}

impl StopSource {
    /// Asks everyone holding a signal to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Another signal of this source.
    pub fn signal(&self) -> StopSignal {
        StopSignal(self.0.subscribe())
    }
}

impl StopSignal {
    /// Resolves once asked to end.
    pub async fn stopped(&mut self) {
        // An error means that the source is gone, which also ends us.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
