//! One byte stream: what may be sent, what has come, and when it is over. Logic without I/O.
//!
//! ```text
//! application --write--> out ==DATA within the peer's window==>  peer
//! application <--read--- arrived <==DATA within our window=====  peer
//!                                CREDIT tells what was consumed
//!
//! each direction:  open --END--> ended          both ended: done
//! any state --RESET, lost bytes, silence, a lost connection--> failed: done
//! ```
//!
//! Offsets are absolute, so a message that a proxy dropped, repeated or sent out of order is noticed with the next one.

mod incoming;
mod outgoing;

use std::time::{Duration, Instant};

use self::incoming::Incoming;
use self::outgoing::Outgoing;
use super::wire::{Frame, Reason};

/// So many bytes may be on the way to one side and not yet consumed.
pub(crate) const WINDOW: u64 = 256 << 10;
/// So many messages may be on the way and not yet consumed: well below the 1,000 at which ZeroMQ's queues are full by
/// default, since a ROUTER on the way drops what does not fit.
const MESSAGES_IN_FLIGHT: usize = 256;

/// Silence after which the peer is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(30);
/// Silence after which it counts as gone.
const DEAD_AFTER: Duration = Duration::from_secs(90);
/// How long what is queued may still go out after the application has dropped the stream.
const LINGER: Duration = Duration::from_secs(30);

/// One byte stream.
#[derive(Debug)]
pub(crate) struct Flow {
    outgoing: Outgoing,
    incoming: Incoming,
    owed: Owed,
    failed: Option<Reason>,
    heard: Instant,
    pinged: bool,
    /// Since when the application is known to have left.
    left: Option<Instant>,
}

/// What the peer is to be told besides bytes. Each at most once: a peer cannot make this grow.
#[derive(Debug, Default)]
struct Owed {
    opening: Option<Frame>,
    stop: bool,
    ping: bool,
    pong: Option<u64>,
    reset: Option<Reason>,
}

/// What the application gets of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Bytes were copied.
    Some,
    /// Nothing has come yet.
    Wait,
    /// Nothing comes any more.
    End,
    Failed(Reason),
}

/// What the application gets of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// So many bytes were taken.
    Taken(usize),
    /// There is no room yet.
    Wait,
    /// Nobody will read them.
    Closed,
    Failed(Reason),
}

impl Flow {
    /// The connecting side's: it asks for the stream.
    pub(crate) fn connecting(now: Instant) -> Flow {
        Flow::new(Frame::Open { window: WINDOW }, 0, now)
    }

    /// The accepting side's, whose peer takes so many bytes.
    pub(crate) fn accepting(peer_window: u64, now: Instant) -> Flow {
        Flow::new(Frame::Accept { window: WINDOW }, peer_window, now)
    }

    fn new(opening: Frame, peer_window: u64, now: Instant) -> Flow {
        Flow {
            outgoing: Outgoing::new(peer_window),
            incoming: Incoming::new(),
            owed: Owed { opening: Some(opening), ..Owed::default() },
            failed: None,
            heard: now,
            pinged: false,
            left: None,
        }
    }

    /// Takes what the peer sent.
    pub(crate) fn receive(&mut self, frame: Frame, now: Instant) {
        self.heard = now;
        self.pinged = false;
        if self.failed.is_some() {
            return;
        }
        let received = match frame {
            Frame::Open { .. } => Err(Reason::Violation),
            Frame::Accept { window } => self.outgoing.accepted(window),
            Frame::Data { offset, bytes } => self.incoming.data(offset, bytes),
            Frame::Credit { consumed } => self.outgoing.credited(consumed),
            Frame::End { offset } => self.incoming.end(offset),
            Frame::Stop => {
                self.outgoing.stopped();
                Ok(())
            }
            Frame::Reset(reason) => {
                self.fail(reason);
                Ok(())
            }
            Frame::Ping(token) => {
                self.owed.pong = Some(token);
                Ok(())
            }
            Frame::Pong(_) => Ok(()),
        };
        if let Err(reason) = received {
            self.fail_and_tell(reason);
        }
    }

    /// The next frame to send, if there is one.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        if let Some(reason) = self.owed.reset.take() {
            return Some(Frame::Reset(reason));
        }
        if self.failed.is_some() {
            return None;
        }
        if let Some(opening) = self.owed.opening.take() {
            return Some(opening);
        }
        if std::mem::take(&mut self.owed.stop) && !self.incoming.is_ended() {
            return Some(Frame::Stop);
        }
        if let Some(token) = self.owed.pong.take() {
            return Some(Frame::Pong(token));
        }
        if std::mem::take(&mut self.owed.ping) {
            return Some(Frame::Ping(self.incoming.received));
        }
        self.incoming.next_credit().or_else(|| self.outgoing.next_frame())
    }

    /// Copies what has come.
    pub(crate) fn read(&mut self, buffer: impl FnMut(&[u8]) -> usize) -> Read {
        let any = self.incoming.read(buffer);
        match self.failed {
            _ if any => Read::Some,
            _ if self.incoming.has_arrived() => Read::Wait, // the buffer has no room at all
            _ if self.incoming.is_ended() => Read::End,
            Some(reason) => Read::Failed(reason),
            None => Read::Wait,
        }
    }

    /// Takes bytes that the application wants sent.
    pub(crate) fn write<'a>(&mut self, slices: impl IntoIterator<Item = &'a [u8]>) -> Write {
        match self.failed {
            Some(reason) => Write::Failed(reason),
            None => self.outgoing.write(slices),
        }
    }

    /// Whether everything written has gone out.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_flushed()
    }

    /// Why the stream is of no more use, if it failed.
    pub(crate) fn failure(&self) -> Option<Reason> {
        self.failed
    }

    /// The application writes no more: the end goes out behind what is queued.
    pub(crate) fn finish_writing(&mut self) {
        self.outgoing.finish();
    }

    /// Whether the end has gone out, or nobody waits for it any more.
    pub(crate) fn is_end_sent(&self) -> bool {
        self.outgoing.is_end_sent()
    }

    /// The application reads no more.
    pub(crate) fn stop_reading(&mut self) {
        if self.incoming.stop() {
            self.owed.stop = true;
        }
    }

    /// The stream is of no more use, and the peer need not be told.
    pub(crate) fn fail(&mut self, reason: Reason) {
        self.failed.get_or_insert(reason);
    }

    fn fail_and_tell(&mut self, reason: Reason) {
        self.owed.reset = Some(reason);
        self.fail(reason);
    }

    /// Whether [`next_frame`](Flow::next_frame) has something, or nothing more will come of this stream.
    pub(crate) fn needs_a_turn(&self) -> bool {
        let Owed { opening, stop, ping, pong, reset } = &self.owed;
        let owes = opening.is_some() || *stop || *ping || pong.is_some() || reset.is_some();
        owes || self.outgoing.needs_a_turn() || self.incoming.owes_credit() || self.is_done()
    }

    /// Whether the peer has accepted the stream.
    pub(crate) fn is_accepted(&self) -> bool {
        self.outgoing.is_accepted()
    }

    /// Whether bytes wait for the application.
    pub(crate) fn has_arrived(&self) -> bool {
        self.incoming.has_arrived()
    }

    /// Whether nothing more will be sent or received.
    pub(crate) fn is_done(&self) -> bool {
        let incoming_over = self.incoming.is_ended() || (self.incoming.is_stopped() && !self.owed.stop);
        self.owed.reset.is_none() && (self.failed.is_some() || (self.outgoing.is_over() && incoming_over))
    }

    /// Notices silence; true when there is something to send.
    pub(crate) fn on_time(&mut self, now: Instant) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let silence = now.saturating_duration_since(self.heard);
        let has_left = self.incoming.is_stopped() && self.outgoing.is_finished();
        let left = if has_left { *self.left.get_or_insert(now) } else { now };
        if silence >= DEAD_AFTER || now.saturating_duration_since(left) >= LINGER {
            self.fail_and_tell(Reason::Silent);
            return true;
        }
        let ask = silence >= PING_AFTER && !self.pinged && self.is_accepted();
        self.pinged |= ask;
        self.owed.ping |= ask;
        ask
    }
}

/// What `fuzzing::zmq_stream` checks.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_frames(messages: impl Iterator<Item = transport_core::Message>) {
    let now = Instant::now();
    let mut flow = Flow::connecting(now);
    for (number, message) in messages.enumerate() {
        let Ok(parsed) = super::wire::Frame::parse(&message) else { continue };
        let again = parsed.frame.to_message(&parsed.envelope, parsed.stream);
        assert_eq!(Frame::parse(&again).as_ref(), Ok(&parsed), "what was read is written and read the same");
        flow.receive(parsed.frame, now);
        if number % 3 == 0 {
            flow.read(|bytes| bytes.len().min(100));
            flow.write([&[7; 50][..]]);
        }
        while flow.next_frame().is_some() {}
        let waiting: usize = flow.incoming.arrived.iter().map(bytes::Bytes::len).sum();
        assert!(waiting as u64 <= WINDOW && flow.incoming.arrived.len() <= MESSAGES_IN_FLIGHT);
        let Flow { outgoing, incoming, .. } = &flow;
        assert!(outgoing.acknowledged <= outgoing.sent && incoming.consumed <= incoming.received);
    }
}

#[cfg(test)]
mod tests {
    use super::outgoing::OUT;
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn pair() -> (Flow, Flow) {
        let now = Instant::now();
        let mut near = Flow::connecting(now);
        let Some(Frame::Open { window }) = near.next_frame() else { panic!("it asks first") };
        let mut far = Flow::accepting(window, now);
        near.receive(far.next_frame().unwrap(), now);
        assert!(near.is_accepted());
        (near, far)
    }

    /// Hands over what each has to say until both are silent.
    fn settle(near: &mut Flow, far: &mut Flow) {
        let now = Instant::now();
        loop {
            let to_far = near.next_frame();
            let to_near = far.next_frame();
            if to_far.is_none() && to_near.is_none() {
                return;
            }
            to_far.into_iter().for_each(|frame| far.receive(frame, now));
            to_near.into_iter().for_each(|frame| near.receive(frame, now));
        }
    }

    fn read_all(flow: &mut Flow) -> (Vec<u8>, Read) {
        let mut bytes = Vec::new();
        loop {
            let read = flow.read(|piece| {
                bytes.extend_from_slice(piece);
                piece.len()
            });
            if read != Read::Some {
                return (bytes, read);
            }
        }
    }

    /// What dropping a stream does.
    fn leave(flow: &mut Flow) {
        flow.finish_writing();
        flow.stop_reading();
    }

    #[test]
    fn no_more_is_on_the_way_than_the_window() {
        let (mut near, mut far) = pair();
        let mut written = 0;
        loop {
            match near.write([&[7; 10_000][..]]) {
                Write::Taken(taken) => written += taken,
                Write::Wait => break,
                other => panic!("{other:?}"),
            }
            settle(&mut near, &mut far);
        }
        assert_eq!(written as u64, WINDOW + OUT as u64);
        let (bytes, read) = read_all(&mut far);
        assert_eq!((bytes.len() as u64, read), (WINDOW, Read::Wait));
        settle(&mut near, &mut far);
        assert_eq!(read_all(&mut far).0.len(), OUT);
    }

    #[test]
    fn few_messages_are_on_the_way_however_small() {
        let (mut near, mut far) = pair();
        for _ in 0..2 * MESSAGES_IN_FLIGHT {
            assert_eq!(near.write([&b"x"[..]]), Write::Taken(1));
            settle(&mut near, &mut far);
        }
        assert_eq!(read_all(&mut far).0.len(), MESSAGES_IN_FLIGHT);
        settle(&mut near, &mut far);
        assert_eq!(read_all(&mut far).0.len(), MESSAGES_IN_FLIGHT);
    }

    #[test]
    fn a_direction_ends_while_the_other_goes_on() {
        let (mut near, mut far) = pair();
        near.write([&b"last words"[..]]);
        near.finish_writing();
        assert_eq!(near.write([&b"more"[..]]), Write::Closed);
        settle(&mut near, &mut far);
        assert_eq!(read_all(&mut far), (b"last words".to_vec(), Read::End));
        far.write([&b"answer"[..]]);
        far.finish_writing();
        settle(&mut near, &mut far);
        assert_eq!(read_all(&mut near), (b"answer".to_vec(), Read::End));
        assert!(near.is_done() && far.is_done());
    }

    #[test]
    fn a_lost_or_repeated_message_resets_both_sides() {
        for repeat in [false, true] {
            let now = Instant::now();
            let (mut near, mut far) = pair();
            near.write([&b"one"[..]]);
            let first = near.next_frame().unwrap();
            near.write([&b"two"[..]]);
            let second = near.next_frame().unwrap();
            if repeat {
                far.receive(first.clone(), now);
                far.receive(first, now);
            } else {
                far.receive(second, now);
            }
            assert_eq!(far.failure(), Some(Reason::Lost));
            settle(&mut near, &mut far);
            assert_eq!(near.write([&b"three"[..]]), Write::Failed(Reason::Lost));
            assert!(near.is_done() && far.is_done());
        }
    }

    #[test]
    fn an_end_at_another_place_means_that_bytes_were_lost() {
        let (_, mut far) = pair();
        far.receive(Frame::End { offset: 1 }, Instant::now());
        assert_eq!(far.failure(), Some(Reason::Lost));
    }

    #[test]
    fn a_peer_that_breaks_the_protocol_is_told_and_left() {
        let too_much = Bytes::from(vec![0; usize::try_from(WINDOW).unwrap() + 1]);
        for frame in [
            Frame::Open { window: 1 },
            Frame::Accept { window: 1 },
            Frame::Credit { consumed: 1 },
            Frame::Data { offset: 0, bytes: too_much },
        ] {
            let (mut near, _) = pair();
            near.receive(frame.clone(), Instant::now());
            assert_eq!(near.failure(), Some(Reason::Violation), "{frame:?}");
            assert_eq!(near.next_frame(), Some(Frame::Reset(Reason::Violation)));
            assert!(near.is_done());
        }
    }

    #[test]
    fn a_flood_of_tiny_messages_is_a_violation() {
        let now = Instant::now();
        let (_, mut far) = pair();
        for offset in 0..MESSAGES_IN_FLIGHT as u64 {
            far.receive(Frame::Data { offset, bytes: Bytes::from_static(b"x") }, now);
        }
        assert_eq!(far.failure(), None);
        far.receive(Frame::Data { offset: MESSAGES_IN_FLIGHT as u64, bytes: Bytes::from_static(b"x") }, now);
        assert_eq!(far.failure(), Some(Reason::Violation));
    }

    #[test]
    fn what_a_dropped_stream_had_written_arrives_and_its_peer_cannot_write_on() {
        let (mut near, mut far) = pair();
        near.write([&b"farewell"[..]]);
        leave(&mut near);
        settle(&mut near, &mut far);
        assert_eq!(far.write([&b"anyone?"[..]]), Write::Closed);
        assert_eq!(read_all(&mut far), (b"farewell".to_vec(), Read::End));
        assert!(near.is_done());
        leave(&mut far);
        assert!(far.is_done() || far.next_frame().is_some());
    }

    #[test]
    fn a_dropped_stream_whose_peer_reads_nothing_is_given_up() {
        let start = Instant::now();
        let (mut near, mut far) = pair();
        while near.write([&[0; 10_000][..]]) != Write::Wait {
            settle(&mut near, &mut far);
        }
        leave(&mut near);
        assert!(!near.on_time(start));
        settle(&mut near, &mut far);
        assert!(!near.on_time(start + LINGER - Duration::from_millis(1)) && !near.is_done());
        assert!(near.on_time(start + LINGER));
        assert_eq!(near.next_frame(), Some(Frame::Reset(Reason::Silent)));
        assert!(near.is_done());
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up() {
        let start = Instant::now();
        let (mut near, mut far) = pair();
        assert!(!near.on_time(start + PING_AFTER - Duration::from_secs(1)));
        assert!(near.on_time(start + PING_AFTER + Duration::from_secs(1)));
        let ping = near.next_frame().unwrap();
        assert!(!near.on_time(start + PING_AFTER + Duration::from_secs(2)));
        far.receive(ping, start);
        let later = start + PING_AFTER + Duration::from_secs(3);
        near.receive(far.next_frame().unwrap(), later);
        assert!(!near.on_time(later + Duration::from_secs(1)));
        assert!(near.on_time(later + DEAD_AFTER));
        assert_eq!(near.failure(), Some(Reason::Silent));
    }

    fn pattern(place: usize) -> u8 {
        u8::try_from(place % 251).unwrap()
    }

    proptest! {
        #[test]
        fn bytes_arrive_in_order_however_they_are_written_and_read(
            steps in proptest::collection::vec((any::<bool>(), 1usize..70_000), 1..60),
        ) {
            let (mut near, mut far) = pair();
            let (mut written, mut read) = (0usize, 0usize);
            for (is_write, length) in steps {
                if is_write {
                    let bytes: Vec<u8> = (written..written + length).map(pattern).collect();
                    if let Write::Taken(taken) = near.write([&bytes[..length / 2], &bytes[length / 2..]]) {
                        written += taken;
                    }
                } else {
                    let mut room = length;
                    far.read(|piece| {
                        let taken = piece.len().min(room);
                        for byte in &piece[..taken] {
                            assert_eq!(*byte, pattern(read));
                            read += 1;
                        }
                        room -= taken;
                        taken
                    });
                }
                settle(&mut near, &mut far);
            }
            near.finish_writing();
            loop {
                settle(&mut near, &mut far);
                let (bytes, result) = read_all(&mut far);
                read += bytes.len();
                if result == Read::End {
                    break;
                }
                prop_assert!(!bytes.is_empty());
            }
            prop_assert_eq!(read, written);
        }
    }
}
