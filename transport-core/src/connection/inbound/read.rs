//! Reading: bytes, the end, orders to close, and what time brings.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Inbound;
use super::link::{Link, Reader};
use crate::connection::alarm::now;
use crate::connection::closed::CloseReason;
use crate::connection::error::{Cut, RecvError};
use crate::connection::life::Life;
use crate::connection::read_buffer::STACK_READ;
use crate::framing::Control;

/// What traffic needed is given back after so long without any.
const IDLE: Duration = Duration::from_secs(30);

impl Inbound {
    /// Reads once; `Continue` when there may be something to decode, `Break` at the end.
    pub(super) fn poll_read<L: Link>(
        &mut self,
        link: &mut L,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ControlFlow<()>, RecvError>> {
        if let Some(Err(error)) = self.arriving.as_ref().map(|arriving| arriving.check_unfinished()) {
            return Poll::Ready(Err(self.end_with(RecvError::Descriptors(error), link.life())));
        }
        loop {
            link.before_read(cx);
            let mut came = Vec::new();
            let descriptors = self.arriving.is_some().then_some(&mut came);
            let reader = &mut Reader { link: &mut *link, descriptors };
            let filled = self.input.poll_fill(&*self.decoder, reader, cx);
            let life = link.life();
            match filled {
                Poll::Ready(Ok(0)) => {
                    if self.decoder.is_mid_message(&self.input.bytes) {
                        return Poll::Ready(Err(self.end_with(RecvError::Truncated, life)));
                    }
                    self.end(life);
                    life.end(|| Some(CloseReason::PeerClosed));
                    return Poll::Ready(Ok(ControlFlow::Break(())));
                }
                Poll::Ready(Ok(length)) => {
                    if let Some(arriving) = &mut self.arriving
                        && let Err(error) = arriving.add(length, came)
                    {
                        return Poll::Ready(Err(self.end_with(RecvError::Descriptors(error), life)));
                    }
                    return Poll::Ready(match self.heard(length, life) {
                        Some(cut) => Err(self.end_with(RecvError::Cut(cut), life)),
                        None => Ok(ControlFlow::Continue(())),
                    });
                }
                Poll::Ready(Err(error)) => {
                    // TLS says so when the stream ends without its goodbye.
                    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
                    let error = if cut { RecvError::Truncated } else { RecvError::Io(error) };
                    return Poll::Ready(Err(self.end_with(error, life)));
                }
                Poll::Pending => {}
            }
            if let Some(cut) = life.poll_cut_for_recv(cx) {
                return Poll::Ready(Err(self.end_with(RecvError::Cut(cut), life)));
            }
            // What was read has been decoded by now, or this side would not wait.
            let _looked_for_already = self.tell_unread(life);
            // Out of budget, the stream says that it has nothing although it may; the task is woken at once.
            let in_budget = tokio::task::coop::has_budget_remaining();
            if life.is_draining() && in_budget && !link.has_arrived() {
                return Poll::Ready(Ok(ControlFlow::Break(())));
            }
            if let Some(ping) = ready!(self.poll_deadline(life, cx))? {
                link.reply(&ping);
            }
        }
    }

    /// Tries to read from the socket itself for as long as `time`; true when something came.
    ///
    /// It holds up the thread: half the latency for a whole core.
    pub(in crate::connection) fn spin(
        &mut self,
        socket: BorrowedFd<'_>,
        time: Duration,
        life: &Life,
    ) -> bool {
        let start = Instant::now();
        let mut buffer = [0; STACK_READ];
        loop {
            match rustix::net::recv(socket, &mut buffer, rustix::net::RecvFlags::DONTWAIT) {
                Ok((_, length)) if length > 0 => {
                    self.input.push(&buffer[..length]);
                    // An order to close shows when the ordinary way waits.
                    let _cut = self.heard(length, life);
                    return true;
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if start.elapsed() < time => {
                    std::hint::spin_loop();
                }
                // The end of the stream and errors are for the ordinary way to find.
                _ => return false,
            }
        }
    }

    /// Bytes arrived; the answer says whether the connection must close all the same.
    fn heard(&mut self, bytes: usize, life: &Life) -> Option<Cut> {
        life.count_read(bytes);
        self.heard = now();
        self.released = false;
        self.decoder.heard(self.heard);
        self.tell_unread(life)
    }

    /// Ready when a heartbeat is due.
    fn poll_deadline(
        &mut self,
        life: &Life,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Control>, RecvError>> {
        // An unfinished message keeps memory that cannot be given back: once is enough, or this would never wait.
        let idle = (self.input.holds_memory() && !self.released).then(|| self.heard + IDLE);
        ready!(self.alarm.poll(idle.into_iter().chain(self.decoder.deadline()).min(), cx));
        let now = now();
        if now >= self.heard + IDLE {
            self.released = true;
            self.input.release_memory();
        }
        let due = self.decoder.deadline().is_some_and(|deadline| now >= deadline);
        let control = if due { self.decoder.on_deadline(now) } else { Ok(None) };
        Poll::Ready(control.map_err(|error| self.end_with(error, life)))
    }
}
