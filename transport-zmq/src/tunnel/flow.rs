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

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::wire::{Frame, Reason};

/// So many bytes may be on the way to one side and not yet consumed.
pub(crate) const WINDOW: u64 = 256 << 10;
/// The most bytes in one message.
const LARGEST_DATA: usize = 64 << 10;
/// So many bytes may wait here for a place in the peer's window.
const OUT: usize = 128 << 10;
/// So many messages may be on the way and not yet consumed: well below the 1,000 at which ZeroMQ's queues are full by
/// default, since a ROUTER on the way drops what does not fit.
const MESSAGES_IN_FLIGHT: usize = 256;
/// After so many bytes or messages consumed the peer is told.
const TELL_AFTER_BYTES: u64 = WINDOW / 4;
const TELL_AFTER_MESSAGES: usize = MESSAGES_IN_FLIGHT / 4;

/// Silence after which the peer is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(30);
/// Silence after which it counts as gone.
const DEAD_AFTER: Duration = Duration::from_secs(90);
/// How long what is queued may still go out after the application has dropped the stream.
const LINGER: Duration = Duration::from_secs(30);

/// One byte stream.
#[derive(Debug)]
pub(crate) struct Flow {
    // Outgoing.
    out: BytesMut,
    /// The offset of the first byte in `out`.
    sent: u64,
    /// What the peer consumed, as far as it told. Invariant: `acknowledged <= sent <= acknowledged + peer_window`.
    acknowledged: u64,
    peer_window: u64,
    /// The ends of the DATA messages that are beyond `acknowledged`, ascending.
    in_flight: VecDeque<u64>,
    end: End,
    /// The peer reads no more.
    stopped_by_peer: bool,

    // Incoming.
    arrived: VecDeque<Bytes>,
    /// The offset behind the last byte that arrived. Invariant: `told + WINDOW >= received >= consumed >= told`.
    received: u64,
    consumed: u64,
    /// What the peer was told of `consumed`.
    told: u64,
    messages_untold: usize,
    ended_by_peer: bool,
    /// The application reads no more.
    stopped: bool,

    owed: Owed,
    failed: Option<Reason>,
    heard: Instant,
    pinged: bool,
    /// Since when the application is known to have left.
    left: Option<Instant>,
}

/// How far the outgoing direction has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Wanted,
    Sent,
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
            out: BytesMut::new(),
            sent: 0,
            acknowledged: 0,
            peer_window,
            in_flight: VecDeque::new(),
            end: End::Open,
            stopped_by_peer: false,
            arrived: VecDeque::new(),
            received: 0,
            consumed: 0,
            told: 0,
            messages_untold: 0,
            ended_by_peer: false,
            stopped: false,
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
        match frame {
            Frame::Accept { window } if self.peer_window == 0 && window > 0 => self.peer_window = window,
            Frame::Open { .. } | Frame::Accept { .. } => self.fail_and_tell(Reason::Violation),
            Frame::Data { offset, bytes } => self.receive_data(offset, bytes),
            Frame::Credit { consumed } => self.receive_credit(consumed),
            Frame::End { offset } if offset != self.received || self.ended_by_peer => {
                self.fail_and_tell(Reason::Lost);
            }
            Frame::End { .. } => self.ended_by_peer = true,
            Frame::Stop => {
                self.stopped_by_peer = true;
                self.out = BytesMut::new();
                self.in_flight.clear();
            }
            Frame::Reset(reason) => self.failed = Some(reason),
            Frame::Ping(token) => self.owed.pong = Some(token),
            Frame::Pong(_) => {}
        }
    }

    fn receive_data(&mut self, offset: u64, bytes: Bytes) {
        if offset != self.received || self.ended_by_peer {
            return self.fail_and_tell(Reason::Lost);
        }
        let received = self.received + bytes.len() as u64;
        let messages = self.arrived.len() + self.messages_untold;
        if received > self.told + WINDOW || messages >= MESSAGES_IN_FLIGHT {
            return self.fail_and_tell(Reason::Violation);
        }
        self.received = received;
        if self.stopped {
            self.consumed = received;
        } else {
            self.arrived.push_back(bytes);
        }
    }

    fn receive_credit(&mut self, consumed: u64) {
        if consumed < self.acknowledged || consumed > self.sent {
            return self.fail_and_tell(Reason::Violation);
        }
        self.acknowledged = consumed;
        while self.in_flight.front().is_some_and(|end| *end <= consumed) {
            self.in_flight.pop_front();
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
        if std::mem::take(&mut self.owed.stop) && !self.ended_by_peer {
            return Some(Frame::Stop);
        }
        if let Some(token) = self.owed.pong.take() {
            return Some(Frame::Pong(token));
        }
        if std::mem::take(&mut self.owed.ping) {
            return Some(Frame::Ping(self.received));
        }
        if self.owes_credit() {
            self.told = self.consumed;
            self.messages_untold = 0;
            return Some(Frame::Credit { consumed: self.consumed });
        }
        self.next_data().or_else(|| self.next_end())
    }

    fn owes_credit(&self) -> bool {
        let much =
            self.consumed - self.told >= TELL_AFTER_BYTES || self.messages_untold >= TELL_AFTER_MESSAGES;
        much && !self.ended_by_peer && !self.stopped
    }

    fn next_data(&mut self) -> Option<Frame> {
        let room = self.acknowledged.saturating_add(self.peer_window) - self.sent;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let length = self.out.len().min(room).min(LARGEST_DATA);
        if length == 0 || self.in_flight.len() >= MESSAGES_IN_FLIGHT {
            return None;
        }
        let offset = self.sent;
        let bytes = self.out.split_to(length).freeze();
        self.sent += length as u64;
        self.in_flight.push_back(self.sent);
        Some(Frame::Data { offset, bytes })
    }

    fn next_end(&mut self) -> Option<Frame> {
        // Before the peer has accepted it does not know the stream.
        let ready = self.end == End::Wanted && self.out.is_empty() && self.peer_window > 0;
        ready.then(|| {
            self.end = End::Sent;
            Frame::End { offset: self.sent }
        })
    }

    /// Copies what has come.
    pub(crate) fn read(&mut self, mut buffer: impl FnMut(&[u8]) -> usize) -> Read {
        let mut any = false;
        while let Some(first) = self.arrived.front_mut() {
            let taken = buffer(first);
            any |= taken > 0;
            self.consumed += taken as u64;
            if taken < first.len() {
                let _copied = first.split_to(taken);
                break;
            }
            self.arrived.pop_front();
            self.messages_untold += 1;
        }
        match self.failed {
            _ if any => Read::Some,
            _ if !self.arrived.is_empty() => Read::Wait, // the buffer has no room at all
            _ if self.ended_by_peer => Read::End,
            Some(reason) => Read::Failed(reason),
            None => Read::Wait,
        }
    }

    /// Takes bytes that the application wants sent.
    pub(crate) fn write<'a>(&mut self, slices: impl IntoIterator<Item = &'a [u8]>) -> Write {
        if let Some(reason) = self.failed {
            return Write::Failed(reason);
        }
        if self.stopped_by_peer || self.end != End::Open {
            return Write::Closed;
        }
        let mut taken = 0;
        let mut empty = true;
        for slice in slices {
            empty &= slice.is_empty();
            let length = slice.len().min(OUT - self.out.len());
            self.out.extend_from_slice(&slice[..length]);
            taken += length;
        }
        if taken == 0 && !empty { Write::Wait } else { Write::Taken(taken) }
    }

    /// Whether everything written has gone out.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty() || self.stopped_by_peer
    }

    /// Why the stream is of no more use, if it failed.
    pub(crate) fn failure(&self) -> Option<Reason> {
        self.failed
    }

    /// The application writes no more: the end goes out behind what is queued.
    pub(crate) fn finish_writing(&mut self) {
        if self.end == End::Open {
            self.end = End::Wanted;
        }
    }

    /// Whether the end has gone out, or nobody waits for it any more.
    pub(crate) fn is_end_sent(&self) -> bool {
        self.end == End::Sent || self.stopped_by_peer
    }

    /// The application reads no more.
    pub(crate) fn stop_reading(&mut self) {
        if !self.stopped {
            self.stopped = true;
            self.owed.stop = !self.ended_by_peer;
            self.arrived.clear();
            self.consumed = self.received;
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
        owes || !self.out.is_empty() || self.end == End::Wanted || self.owes_credit() || self.is_done()
    }

    /// Whether the peer has accepted the stream.
    pub(crate) fn is_accepted(&self) -> bool {
        self.peer_window > 0
    }

    /// Whether bytes wait for the application.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Whether nothing more will be sent or received.
    pub(crate) fn is_done(&self) -> bool {
        let outgoing_over = self.end == End::Sent || (self.stopped_by_peer && self.end != End::Open);
        let incoming_over = self.ended_by_peer || (self.stopped && !self.owed.stop);
        self.owed.reset.is_none() && (self.failed.is_some() || (outgoing_over && incoming_over))
    }

    /// Notices silence; true when there is something to send.
    pub(crate) fn on_time(&mut self, now: Instant) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let silence = now.saturating_duration_since(self.heard);
        let has_left = self.stopped && self.end != End::Open;
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
        let waiting: usize = flow.arrived.iter().map(Bytes::len).sum();
        assert!(waiting as u64 <= WINDOW && flow.arrived.len() <= MESSAGES_IN_FLIGHT);
        assert!(flow.acknowledged <= flow.sent && flow.consumed <= flow.received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
