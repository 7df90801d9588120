//! The stream in which a server or a client tells what happens to it.

use std::fmt;

use tokio::sync::broadcast;

/// The events of one server or client, in order.
///
/// A reader that is slower than the events loses the oldest, and is told how many: a [`Server`](crate::Server) keeps
/// 1,024 for it. Nobody waits for a reader.
///
/// # Examples
///
/// ```
/// # use transport_core::{EventOrGap, Listen, Policy, ServerEvent, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// let mut server = Listen::new(&transports, "mem://events").policy(Policy::same_process()).start().await?;
/// let mut events = server.events();
/// # server.shutdown(std::time::Duration::ZERO).await;
/// while let Some(event) = events.next().await {
///     match event {
///         EventOrGap::Event(ServerEvent::Refused { source, reason, .. }) => println!("{source}: {reason}"),
///         EventOrGap::Event(_) => {}
///         EventOrGap::Gap(count) => println!("{count} events were lost"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Events<E> {
    receiver: broadcast::Receiver<E>,
}

/// An event, or how many were lost.
#[derive(Clone, Debug)]
pub enum EventOrGap<E> {
    /// An event.
    Event(E),
    /// So many events were dropped, because this reader was too slow.
    Gap(u64),
}

/// The telling end of [`Events`], for transports and others that have something to tell.
#[derive(Clone)]
pub struct EventSender<E> {
    sender: broadcast::Sender<E>,
}

impl<E: Clone> Events<E> {
    /// A stream that keeps `kept` events for a slow reader, with its first reader.
    pub fn channel(kept: usize) -> (EventSender<E>, Events<E>) {
        let (sender, receiver) = broadcast::channel(kept);
        (EventSender { sender }, Events { receiver })
    }

    /// The next event; `None` when whom it is about is gone. Gaps are passed over: [`next`](Events::next) shows them.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<E> {
        loop {
            if let EventOrGap::Event(event) = self.next().await? {
                return Some(event);
            }
        }
    }

    /// The next event, or how many were lost; `None` when whom it is about is gone.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<EventOrGap<E>> {
        match self.receiver.recv().await {
            Ok(event) => Some(EventOrGap::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(EventOrGap::Gap(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl<E: Clone> EventSender<E> {
    /// Tells an event to all readers that there are.
    pub fn tell(&self, event: E) {
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// The events from now on.
    pub fn subscribe(&self) -> Events<E> {
        Events { receiver: self.sender.subscribe() }
    }
}

impl<E> fmt::Debug for EventSender<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSender")
    }
}

impl<E> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// Names the events of an enum once: a variant without a name does not compile.
macro_rules! event_names {
    ($event:ident: $($variant:ident $name:literal),* $(,)?) => {
        impl $event {
            /// The names of all events.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The event's name, as a log or a filter may use it.
            pub fn name(&self) -> &'static str {
                match self {
                    $($event::$variant { .. } => $name,)*
                }
            }
        }
    };
}
pub(crate) use event_names;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_events_it_lost() {
        let (sender, mut events) = Events::channel(4);
        (0..6).for_each(|event| sender.tell(event));
        assert!(matches!(events.next().await, Some(EventOrGap::Gap(2))));
        assert!(matches!(events.next().await, Some(EventOrGap::Event(2))));
        assert_eq!(events.recv().await, Some(3));
    }

    #[tokio::test]
    async fn the_events_end_when_nobody_is_left_to_tell_them() {
        let (sender, mut events) = Events::channel(4);
        let mut late = sender.subscribe();
        sender.tell("last");
        drop(sender);
        assert_eq!((events.recv().await, events.recv().await), (Some("last"), None));
        assert_eq!(late.recv().await, Some("last"));
    }
}
