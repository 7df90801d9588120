//! The suite of all transports, over TCP.

use std::pin::pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use transport_conformance::{Expected, Harness};
use transport_core::tcp::TcpTransport;
use transport_core::{Connect, Listen, Policy, Protection, Transports};

struct TcpHarness;

impl Harness for TcpHarness {
    fn new() -> TcpHarness {
        TcpHarness
    }

    fn transports(&self) -> Transports {
        Transports::new().with(TcpTransport::new())
    }

    /// A loopback address of its own, so that no other test takes a port that has just been freed.
    fn address(&self) -> String {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        format!("tcp://127.83.{high}.{low}:0")
    }

    fn misshapen(&self) -> Vec<String> {
        ["tcp:///run/app.sock", "tcp:@app", "tcp://app", "tcp://127.0.0.1:5555?mode=0600"]
            .map(String::from)
            .into()
    }

    fn expected(&self) -> Expected {
        Expected {
            client: "anonymous".into(),
            server: "anonymous".into(),
            protection: Protection::Loopback,
            vectored: true,
            plain_socket: true,
        }
    }
}

transport_conformance::tests! {
    TcpHarness;
    bytes_arrive_in_order,
    both_directions_flow_at_once_with_full_buffers,
    end_of_stream_is_seen,
    one_direction_ends_while_the_other_goes_on,
    dropping_one_end_ends_the_other,
    a_vectored_write_delivers_all_slices_in_order,
    a_plain_socket_is_given_where_there_is_one,
    accept_is_not_held_up_by_a_silent_peer,
    many_connections_are_open_at_once,
    connecting_to_nobody_fails_and_names_the_address,
    listening_twice_at_one_address_fails,
    an_address_of_another_shape_is_refused,
    the_local_address_can_be_connected_to,
    the_protection_is_as_expected,
    dropping_the_listener_frees_the_address,
    dropping_the_listener_leaves_open_streams_alone,
    a_peer_still_waiting_sees_the_listener_end,
    dropping_a_connect_future_is_harmless,
    identities_are_as_expected,
    messages_of_every_shape_make_the_round_trip,
    messages_of_several_senders_stay_in_order,
    a_dropped_recv_loses_nothing,
    several_messages_are_received_at_once,
    spinning_receives_the_same_messages,
    a_connection_can_be_taken_apart,
    a_connection_moves_to_another_runtime_or_stays,
    a_dropped_send_sends_all_or_nothing,
    a_dropped_send_of_a_sender_sends_all_or_nothing,
    both_sides_send_more_than_the_buffers_hold,
    close_delivers_what_was_sent,
    close_delivers_what_was_sent_while_the_peer_sends,
    closing_a_sender_leaves_the_receiver_open,
    a_peer_that_vanishes_mid_message_is_noticed,
    a_closed_connection_is_told_with_what_went_over_it,
    descriptors_are_passed_or_refused_clearly,
    a_silent_peer_holds_up_no_connection,
    abandoned_handshakes_are_harmless,
    denial_is_seen_on_both_sides,
    a_client_refuses_a_server_that_its_policy_denies,
    a_raw_server_hands_over_stream_and_identity,
    peers_beyond_the_cap_wait_until_there_is_room,
    a_server_goes_on_with_a_listener_that_there_is,
    shutdown_lets_connections_finish,
    shutdown_cuts_who_does_not_finish,
    shutdown_frees_the_address,
    shutdown_does_not_wait_for_who_was_never_handed_over,
    the_last_event_says_that_the_server_stopped,
    dropping_a_server_leaves_its_connections_open,
    a_server_that_retires_turns_nobody_away,
    a_stream_that_ends_at_any_byte_is_noticed,
    a_stream_that_is_reset_at_any_byte_is_noticed,
    messages_pass_in_pieces_of_any_size,
    a_stream_that_takes_nothing_is_given_up,
    a_peer_that_falls_silent_is_given_up,
}

/// What lies in the kernel has arrived, whether or not the runtime has looked there yet.
#[tokio::test(flavor = "current_thread")]
async fn what_the_kernel_has_when_the_server_drains_is_received() {
    let transports = TcpHarness.transports();
    let listen = Listen::new(&transports, TcpHarness.address()).policy(Policy::danger_anyone());
    let mut server = listen.start().await.unwrap();
    let address = server.local_address().to_string();
    let client = Connect::new(&transports, address).server(Policy::danger_anyone());
    let (client, served) = tokio::join!(client, server.accept());
    let (mut client, mut served) = (client.unwrap(), served.unwrap());
    assert!(poll_once(served.recv()).is_none());
    client.send("on its way").await.unwrap();
    // A busy kernel may take a while to pass it on. The thread sleeps, so that the runtime does not look.
    let (_sender, mut receiver) = served.split();
    let start = Instant::now();
    while !receiver.has_arrived() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never arrives");
        std::thread::sleep(Duration::from_millis(1));
    }
    let handle = server.handle();
    assert!(poll_once(handle.shutdown(Duration::from_secs(10))).is_none());
    let message = receiver.recv().await.unwrap().expect("it had arrived");
    assert_eq!(message.to_text(), Some("on its way"));
}

fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
