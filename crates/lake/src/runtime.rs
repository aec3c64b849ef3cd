//! Others' libraries are asynchronous and the lake is not.

/// A small runtime of one thread, entered from a thread of its own: [`crate::Lake`] is usable from any
/// thread, within a runtime or not.
#[derive(Debug)]
pub(crate) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    pub(crate) fn new(name: &str) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Runtime(Some(runtime)))
    }

    pub(crate) fn run<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let runtime = self.get();
        let answer = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join());
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        self.get().handle().clone()
    }

    fn get(&self) -> &tokio::runtime::Runtime {
        // Proof: taken by `drop` only.
        let Some(runtime) = &self.0 else { unreachable!("runtime is gone") };
        runtime
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The ordinary drop blocks, which panics inside another runtime.
            runtime.shutdown_background();
        }
    }
}
