//! Which of a host's addresses to try when (RFC 8305, "happy eyeballs"): the logic, and the loop that follows it.
//!
//! ```text
//! resolved:   6a 6b 6c 4a 4b    ->  tried:  6a  4a  6b  4b  6c        the families take turns
//!                                           |250ms|250ms| ...         or at once when an attempt fails
//! ```
//!
//! The first connection wins and the other attempts are dropped. So an address family that leads nowhere costs a
//! quarter of a second and not the whole deadline.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::connection::{Alarm, now};

/// Connects to the first of `addresses` that answers, with `connect` for a single attempt.
///
/// Cancel-safe: dropping the future drops all attempts.
pub(super) async fn race<S, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(S, SocketAddr), AllFailed>
where
    F: Future<Output = io::Result<S>>,
{
    let mut schedule = Schedule::new(addresses);
    let mut attempts: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        loop {
            let until = match schedule.next(now()) {
                Next::Try(address) => {
                    attempts.push((address, Box::pin(connect(address))));
                    continue;
                }
                Next::Wait(until) => until,
                Next::Lost(failures) => return Poll::Ready(Err(failures)),
            };
            let mut one_failed = false;
            let mut i = 0;
            while i < attempts.len() {
                match attempts[i].1.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok((stream, attempts[i].0))),
                    Poll::Ready(Err(error)) => {
                        let (address, _) = attempts.remove(i);
                        schedule.failed(address, error);
                        one_failed = true;
                    }
                    Poll::Pending => i += 1,
                }
            }
            if !one_failed && alarm.poll(until, cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// The order and the times of the attempts.
struct Schedule {
    waiting: VecDeque<SocketAddr>,
    underway: usize,
    /// When the next attempt may begin; at once when `None`.
    due: Option<Instant>,
    failures: Vec<(SocketAddr, io::Error)>,
}

/// What there is to do.
#[derive(Debug)]
enum Next {
    /// Begin an attempt at this address.
    Try(SocketAddr),
    /// Wait for an attempt to end, at most until then.
    Wait(Option<Instant>),
    /// Nothing: no address is left.
    Lost(AllFailed),
}

/// RFC 8305, section 5: recommended between two attempts.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A name may have any number of addresses; so many are tried.
const MOST_ADDRESSES: usize = 32;

impl Schedule {
    fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Schedule {
        let waiting = take_turns(addresses);
        Schedule { waiting, underway: 0, due: None, failures: Vec::new() }
    }

    fn next(&mut self, now: Instant) -> Next {
        if self.due.is_none_or(|due| now >= due)
            && let Some(address) = self.waiting.pop_front()
        {
            self.underway += 1;
            self.due = now.checked_add(ATTEMPT_DELAY);
            return Next::Try(address);
        }
        if self.underway == 0 {
            return Next::Lost(AllFailed(std::mem::take(&mut self.failures)));
        }
        Next::Wait(self.due.filter(|_| !self.waiting.is_empty()))
    }

    fn failed(&mut self, address: SocketAddr, error: io::Error) {
        self.underway -= 1;
        self.due = None;
        self.failures.push((address, error));
    }
}

/// RFC 8305, section 4: the resolver has sorted the addresses (RFC 6724); the families take turns, beginning with the
/// first one's.
fn take_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut one: VecDeque<SocketAddr> = VecDeque::new();
    let mut other: VecDeque<SocketAddr> = VecDeque::new();
    for address in addresses {
        let is_first_family = one.front().is_none_or(|first| first.is_ipv6() == address.is_ipv6());
        let family = if is_first_family { &mut one } else { &mut other };
        if !family.contains(&address) && family.len() < MOST_ADDRESSES {
            family.push_back(address);
        }
    }
    let mut all = VecDeque::new();
    while all.len() < MOST_ADDRESSES && !(one.is_empty() && other.is_empty()) {
        all.extend(one.pop_front());
        all.extend(other.pop_front());
    }
    all
}

/// Every attempt has failed: why each did.
#[derive(Debug)]
pub(super) struct AllFailed(Vec<(SocketAddr, io::Error)>);

impl AllFailed {
    /// As an I/O error: of the kind that all have, if they have one.
    pub(super) fn into_io_error(mut self) -> io::Error {
        let Some((_, first)) = self.0.first() else {
            return io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        };
        let kind = first.kind();
        let same = self.0.iter().all(|(_, error)| error.kind() == kind);
        match self.0.len() {
            1 => self.0.remove(0).1,
            _ => io::Error::new(if same { kind } else { io::ErrorKind::Other }, self),
        }
    }

    /// The address, if there was only one.
    pub(super) fn only(&self) -> Option<SocketAddr> {
        match *self.0.as_slice() {
            [(address, _)] => Some(address),
            _ => None,
        }
    }
}

impl std::error::Error for AllFailed {}

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (address, error)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{address}: {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        match text.strip_prefix("6") {
            Some(last) => format!("[2001:db8::{last}]:80").parse().unwrap(),
            None => format!("192.0.2.{}:80", text.strip_prefix("4").unwrap()).parse().unwrap(),
        }
    }

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split(' ').map(address).collect()
    }

    /// What an attempt comes to, and when.
    #[derive(Clone, Copy)]
    enum Fate {
        Answers(u64),
        Refuses(u64),
        Silent,
    }
    use Fate::{Answers, Refuses, Silent};

    /// Runs a race in virtual time: who won after how many milliseconds, and when each attempt began.
    async fn run(fates: &[(&str, Fate)]) -> (Result<SocketAddr, String>, u128, Vec<(SocketAddr, u128)>) {
        let start = now();
        let begun = RefCell::new(Vec::new());
        let won = race(fates.iter().map(|(name, _)| address(name)), |to| {
            begun.borrow_mut().push((to, (now() - start).as_millis()));
            let fate = fates.iter().find(|(name, _)| address(name) == to).unwrap().1;
            async move {
                match fate {
                    Answers(after) => tokio::time::sleep(Duration::from_millis(after)).await,
                    Refuses(after) => {
                        tokio::time::sleep(Duration::from_millis(after)).await;
                        return Err(io::ErrorKind::ConnectionRefused.into());
                    }
                    Silent => pending().await,
                }
                Ok(to)
            }
        })
        .await;
        let won = won.map(|(stream, address)| {
            assert_eq!(stream, address);
            address
        });
        (won.map_err(|error| error.to_string()), (now() - start).as_millis(), begun.into_inner())
    }

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        assert_eq!(take_turns(addresses("61 62 63 41 42")), addresses("61 41 62 42 63"));
        assert_eq!(take_turns(addresses("41 42 61")), addresses("41 61 42"));
        assert_eq!(take_turns(addresses("41 41 61 41")), addresses("41 61"));
    }

    #[test]
    fn a_name_with_thousands_of_addresses_costs_as_much_as_one_with_some() {
        let many = (0..5000u16).map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        assert_eq!(take_turns(many).len(), MOST_ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_ipv6_address_costs_no_more_than_the_delay() {
        let (won, after, begun) = run(&[("61", Silent), ("62", Silent), ("41", Answers(20))]).await;
        assert_eq!(won, Ok(address("41")));
        assert_eq!(after, 270);
        assert_eq!(begun, [(address("61"), 0), (address("41"), 250)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_nothing() {
        let (won, after, _) = run(&[("61", Refuses(0)), ("41", Refuses(5)), ("62", Answers(1))]).await;
        assert_eq!((won, after), (Ok(address("62")), 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_may_still_win() {
        let (won, after, begun) = run(&[("61", Answers(300)), ("41", Answers(100))]).await;
        assert_eq!((won, after), (Ok(address("61")), 300));
        assert_eq!(begun.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_names_every_address_and_why() {
        let (won, _, _) = run(&[("61", Refuses(0)), ("41", Refuses(900)), ("42", Refuses(100))]).await;
        assert_eq!(
            won.unwrap_err(),
            "[2001:db8::1]:80: connection refused, 192.0.2.2:80: connection refused, 192.0.2.1:80: connection refused"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_lost_are_dropped() {
        let dropped = std::rc::Rc::new(());
        let held = std::rc::Rc::clone(&dropped);
        let won = race(addresses("61 41"), |to| {
            let held = std::rc::Rc::clone(&held);
            async move {
                if to.is_ipv6() {
                    pending::<()>().await;
                }
                drop(held);
                Ok(())
            }
        });
        assert_eq!(won.await.unwrap().1, address("41"));
        drop(held);
        assert_eq!(std::rc::Rc::strong_count(&dropped), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_addresses_is_not_found() {
        let failed = race(Vec::new(), |_| pending::<io::Result<()>>()).await.unwrap_err();
        assert_eq!(failed.into_io_error().kind(), io::ErrorKind::NotFound);
    }
}
