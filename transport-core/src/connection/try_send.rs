//! Sending without waiting for room.

use super::error::SendError;
use super::sender::Sender;
use crate::message::MessageRef;

impl Sender {
    /// Sends a message if there is room in the queue for it; false when there is none.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    #[inline]
    pub fn try_send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<bool, SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        if queue.is_full() {
            return Ok(false);
        }
        self.shared.send(&mut queue, message.into())?;
        Ok(true)
    }

    /// Whether there is room for a message in the queue. Other senders may be faster.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn has_room(&self) -> Result<bool, SendError> {
        let queue = self.shared.lock();
        queue.check()?;
        Ok(!queue.is_full())
    }

    /// Sends messages as long as there is room, and tells how many it was.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; none was sent then. At a message that cannot be encoded it stops, and gives the error when that is the
    /// first one.
    pub fn try_send_each<'m>(
        &self,
        messages: impl Iterator<Item = MessageRef<'m>>,
    ) -> Result<usize, SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        let mut sent = 0;
        for message in messages {
            if queue.is_full() {
                break;
            }
            match queue.encode(message) {
                Ok(()) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        self.shared.see_to_writing(&mut queue);
        Ok(sent)
    }

    /// Sends a message without regard to the queue's limit: for what is little and must not wait, such as a
    /// subscription.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send_now<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        self.shared.send(&mut queue, message.into())
    }

    /// Sends a message in the place of the last one that was sent so, if the stream has not begun to take that: for what is
    /// of no use any more when something newer is there. It never waits.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send_latest<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        self.shared.send_latest(&mut queue, message.into())
    }
}
