//! Memory that a burst of messages needed: kept for the next burst, and given back when none comes.
//!
//! Given back at the end of each burst, it would have to be taken from the system again, page by page, for the next one: a
//! publisher spends a third of its time on that.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::halves::Shared;
use super::queue::Queue;

/// What is known about the memory of a queue.
#[derive(Default)]
pub(super) struct Kept {
    /// A task looks at it from time to time.
    watched: bool,
    /// It has been used since that task looked last.
    used: bool,
}

/// Memory that was not used for one to two of these is given back.
const QUIET: Duration = Duration::from_secs(1);

impl Shared {
    /// Everything queued has been written: its memory is kept for a while.
    pub(super) fn keep_memory(self: &Arc<Self>, queue: &mut Queue) {
        queue.kept.used = true;
        if queue.kept.watched || !queue.holds_memory() {
            return;
        }
        // Without a runtime it is kept until there is one again.
        if let Some(runtime) = self.runtime() {
            queue.kept.watched = true;
            runtime.spawn(give_back(Arc::downgrade(self)));
        }
    }
}

impl Queue {
    /// Gives memory back that was not used lately; true when that was done.
    fn give_back(&mut self) -> bool {
        if std::mem::take(&mut self.kept.used) || !self.is_written() {
            return false;
        }
        self.release_memory();
        self.kept.watched = false;
        true
    }
}

/// Does not keep the connection: when that ends, so does its memory.
async fn give_back(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(QUIET).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.lock().give_back() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::MemTransport;
    use crate::{Connect, Listen, Policy, Sender, Transports};

    #[tokio::test(start_paused = true)]
    async fn what_a_burst_needed_is_kept_while_there_are_bursts_and_given_back_after_them() {
        let transports = Transports::new().with(MemTransport::new());
        let policy = Policy::same_process;
        let mut server = Listen::new(&transports, "mem://kept").policy(policy()).start().await.unwrap();
        let client = Connect::new(&transports, "mem://kept").server(policy()).await.unwrap();
        let (sender, _receiver) = client.split();
        let mut other = server.accept().await.unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = other.recv().await {} });

        let holds = |sender: &Sender| sender.shared.lock().holds_memory();
        for _ in 0..5 {
            for _ in 0..100 {
                sender.send(&[7; 1000][..]).await.unwrap();
            }
            sender.flush().await.unwrap();
            assert!(holds(&sender));
            tokio::time::sleep(QUIET / 2).await;
        }
        assert!(holds(&sender), "the next burst finds it");
        tokio::time::sleep(QUIET * 3).await;
        assert!(!holds(&sender));
        assert!(!sender.shared.lock().kept.watched, "nothing looks at it any more");
    }
}
