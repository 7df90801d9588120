//! Where blocking calls run.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::error::Error;

/// Drives the tasks, timers and sockets of a connection or a server; what shares them holds a clone.
#[derive(Clone)]
pub(super) struct Runtime {
    kind: Arc<Kind>,
}

enum Kind {
    /// By the threads that call, while they do. Present until it is dropped.
    Callers(Option<tokio::runtime::Runtime>),
    /// By a thread in the background, which ends when the sender is dropped.
    Background { handle: Handle, _stop: oneshot::Sender<()> },
}

impl Runtime {
    /// A runtime that the calling threads drive.
    pub(super) fn of_the_caller<E: std::error::Error>() -> Result<Runtime, Error<E>> {
        check()?;
        let runtime = build().map_err(Error::Runtime)?;
        Ok(Runtime { kind: Arc::new(Kind::Callers(Some(runtime))) })
    }

    /// A runtime that a thread of its own drives.
    pub(super) fn in_background<E: std::error::Error>() -> Result<Runtime, Error<E>> {
        check()?;
        let runtime = build().map_err(Error::Runtime)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("transport-server".to_owned());
        // An error says that the sender is gone, which is the signal.
        thread.spawn(move || runtime.block_on(async { drop(stopped.await) })).map_err(Error::Runtime)?;
        Ok(Runtime { kind: Arc::new(Kind::Background { handle, _stop: stop }) })
    }

    /// Blocks until the future is ready.
    pub(super) fn block_on<F: Future, E: std::error::Error>(&self, future: F) -> Result<F::Output, Error<E>> {
        check()?;
        let mut future = pin!(future);
        match &*self.kind {
            Kind::Callers(runtime) => {
                let runtime = runtime.as_ref().expect("a runtime is there until it is dropped");
                // Most sends need not wait, and to start and end the runtime's loop costs more than they do.
                let within = runtime.enter();
                if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return Ok(ready);
                }
                drop(within);
                Ok(runtime.block_on(future))
            }
            Kind::Background { handle, .. } => Ok(handle.block_on(future)),
        }
    }

    /// Blocks until the future is ready, and passes its error on.
    pub(super) fn try_block_on<T, E: std::error::Error>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error<E>> {
        self.block_on(future)?.map_err(Error::Failed)
    }

    /// As [`block_on`](Runtime::block_on), for so long at most.
    pub(super) fn block_for<F: Future, E: std::error::Error>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Error<E>> {
        self.block_on(async { tokio::time::timeout(time, future).await })?.map_err(|_| Error::TimedOut(time))
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        if let Kind::Callers(runtime) = self {
            // An ordinary drop waits, which panics in a thread that runs tasks.
            runtime.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.kind {
            Kind::Callers(_) => "Callers",
            Kind::Background { .. } => "Background",
        })
    }
}

fn build() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn check<E: std::error::Error>() -> Result<(), Error<E>> {
    if Handle::try_current().is_ok() { Err(Error::WithinRuntime) } else { Ok(()) }
}
