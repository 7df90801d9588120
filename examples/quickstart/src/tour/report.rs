//! The tour as text for a terminal of 80 columns.

use std::fmt::Write as _;

use super::peers::Meeting;
use super::refusals::Refusal;
use super::router::RoutedPeer;
use super::timing::{MESSAGE_BYTES, TIME, Timing};
use crate::proofs::Seen;

const WIDTH: usize = 80;

pub(super) fn introduction() -> String {
    let mut text = String::from("QUICKSTART: authenticated messages between programs\n\n");
    text += &paragraph(
        "A program names an address and says who may be on the other side. It gets a connection that carries \
         messages and knows who the peer is. This tour starts a server on each transport, connects to it, and \
         shows what each side learns.",
    );
    text
}

pub(super) fn peers(meetings: &[Meeting]) -> String {
    let mut text = heading("1. Who is who");
    for meeting in meetings {
        let title = match meeting.mechanism {
            "NULL" => meeting.transport.to_owned(),
            mechanism => format!("{}, and a password ({mechanism})", meeting.transport),
        };
        text += &format!("  {title}\n    {}\n", meeting.address);
        text += &seen("client sees", &meeting.client_sees);
        text += &seen("server sees", &meeting.server_sees);
        text.push('\n');
    }
    text += &paragraph(
        "Over each of them a text, a message of three parts and one of 1 MiB went to the server and came back \
         unchanged.",
    );
    text
}

pub(super) fn router(peers: &[RoutedPeer]) -> String {
    let mut text = heading("2. One ZeroMQ ROUTER, three kinds of peers");
    text += &paragraph(
        "It is bound to a socket file, to tls and to tcp, each with a policy of its own. Its peers are three DEALER \
         sockets; it knows who sent each message, and answers that one alone.",
    );
    for peer in peers {
        text += &format!("\n  {}\n", peer.transport);
        text += &labelled("ROUTER sees", &shortened(&peer.identity, &peer.identity));
        text += &labelled("it receives", &peer.question);
        text += &labelled("peer gets", &shortened(&peer.answer, &peer.identity));
    }
    text
}

pub(super) fn refusals(refusals: &[Refusal]) -> String {
    let mut text = heading("3. Who is refused, and why");
    text += &paragraph(
        "Both sides have a policy, and a policy allows nobody until it says whom. A server tells its log why it \
         refused; the client learns no more than the code 400, or over TLS an alert that is the same for every \
         reason.",
    );
    for refusal in refusals {
        text += &format!("\n  {}\n", refusal.case);
        text += &labelled("server's log", &refusal.server);
        text += &labelled("client gets", &refusal.client);
    }
    text
}

pub(super) fn before_timings() -> String {
    heading("4. How fast")
}

pub(super) fn timings(timings: &[Timing]) -> String {
    let mut text = format!("  {:16}{:>18}{:>22}\n", "transport", "round trip (p50)", "messages per second");
    for timing in timings {
        let round_trip = format!("{:.1} µs", timing.round_trip_p50_us);
        let rate = thousands(timing.messages_per_second);
        text += &format!("  {:16}{round_trip:>18}{rate:>22}\n", timing.transport);
    }
    text.push('\n');
    text += &paragraph(&format!(
        "Messages of {MESSAGE_BYTES} bytes, {} s for each figure, each end on a thread of its own, as if they were \
         two programs. A round trip is mostly the time that the system takes to wake a thread. An impression, not \
         a benchmark.",
        TIME.as_secs_f64()
    ));
    text += &heading("Next, in two terminals");
    let program = std::env::args_os().next().unwrap_or("quickstart".into());
    let program = program.to_string_lossy();
    text += &format!("  {program} serve tcp://127.0.0.1:5555 --allow anyone\n");
    text += &format!("  {program} send tcp://127.0.0.1:5555 hello --server anyone\n\n");
    text += &paragraph("Any ZeroMQ program can be the other side of either: see README.md of this example.");
    text
}

fn heading(title: &str) -> String {
    format!("\n{title}\n{}\n", "-".repeat(title.chars().count()))
}

fn paragraph(words: &str) -> String {
    wrap("", "", words)
}

fn seen(label: &str, seen: &Seen) -> String {
    let column = " ".repeat(30);
    let mut text = String::new();
    for proof in &seen.proofs {
        let (first, means) = if text.is_empty() {
            (who(label, seen), format!("proven by {}", proof.by))
        } else {
            (column.clone(), format!("and {} by {}", proof.name, proof.by))
        };
        text += &wrap(&first, &column, &means);
    }
    if text.is_empty() {
        text = wrap(&who(label, seen), &column, "nothing was proven: the policy is anyone");
    }
    text
}

fn who(label: &str, seen: &Seen) -> String {
    format!("    {label:14}{:11} ", seen.identity)
}

fn labelled(label: &str, words: &str) -> String {
    wrap(&format!("    {label:14}"), &" ".repeat(18), words)
}

/// The text with a key in it cut short, which would not fit a line.
fn shortened(text: &str, identity: &str) -> String {
    const KEPT: usize = 14;
    match identity.char_indices().nth(2 * KEPT) {
        Some(_) if identity.starts_with("curve:") => {
            let (begin, end) = (&identity[..KEPT], &identity[identity.len() - KEPT / 2..]);
            text.replace(identity, &format!("{begin}...{end}"))
        }
        _ => text.to_owned(),
    }
}

/// The words in lines that fit; the first line starts with `first`, the others with `rest`.
fn wrap(first: &str, rest: &str, words: &str) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut is_fresh = true;
    for word in words.split(' ') {
        let space = usize::from(!is_fresh);
        if !is_fresh && line.chars().count() + space + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            rest.clone_into(&mut line);
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line += word;
        is_fresh = false;
    }
    text + line.trim_end() + "\n"
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_and_indented() {
        let text = wrap("  a  ", "     ", &"word ".repeat(40));
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        assert!(text.lines().skip(1).all(|line| line.starts_with("     word")));
        assert_eq!(wrap("", "", &"x".repeat(100)).trim_end().len(), 100);
    }

    #[test]
    fn thousands_are_grouped() {
        let grouped: Vec<String> = [0, 999, 1000, 1_234_567].map(thousands).into();
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }
}
