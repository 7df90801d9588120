//! The suite of all transports, over TLS with certificates on both sides: on top of TCP and of Unix sockets.

mod common;

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use common::{Authority, leaf};
use transport_conformance::{Expected, Harness};
use transport_core::tcp::TcpTransport;
use transport_core::{Address, BoxFuture, Protection, Transport, Transports};
use transport_tls::TlsTransport;
use transport_unix::UnixTransport;

/// One transport for all tests of this file: a certificate each for client and server.
fn tls() -> &'static (TlsTransport, TlsTransport) {
    static TLS: OnceLock<(TlsTransport, TlsTransport)> = OnceLock::new();
    TLS.get_or_init(|| {
        let authority = Authority::new();
        let own = authority.issue(&leaf(&["server.example", "spiffe://example/peer"]));
        let tcp = authority.tls(&own);
        let unix = tcp.over("tls+unix", UnixTransport::new());
        (tcp, unix)
    })
}

/// Another number at each call.
fn next() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn expected() -> Expected {
    Expected {
        client: "spiffe://example/peer".to_owned(),
        server: "spiffe://example/peer".to_owned(),
        protection: Protection::Encrypted,
        vectored: true,
        plain_socket: false,
    }
}

/// Connects below TLS, and says nothing there.
fn silent(transport: impl Transport + 'static, address: Address) -> BoxFuture<'static, Box<dyn Any + Send>> {
    Box::pin(async move {
        let below = address.without_parameter("name").with_scheme(transport.scheme()).expect("a scheme");
        let established = transport.connect(&below).await.expect("connect");
        Box::new(established.stream) as Box<dyn Any + Send>
    })
}

struct TcpHarness;

impl Harness for TcpHarness {
    fn new() -> TcpHarness {
        TcpHarness
    }

    fn transports(&self) -> Transports {
        Transports::new().with(tls().0.clone())
    }

    /// A loopback address of its own, so that no other test takes a port that has just been freed.
    fn address(&self) -> String {
        let [high, low] = next().to_be_bytes();
        format!("tls://127.84.{high}.{low}:0?name=server.example")
    }

    fn misshapen(&self) -> Vec<String> {
        [
            "tls:///run/app.sock?name=a",
            "tls:@app?name=a",
            "tls://app?name=a",
            "tls://127.0.0.1:5555?mode=0600",
        ]
        .map(String::from)
        .into()
    }

    fn expected(&self) -> Expected {
        expected()
    }

    fn silent_peer(&self, address: Address) -> BoxFuture<'_, Box<dyn Any + Send>> {
        silent(TcpTransport::new(), address)
    }
}

struct UnixHarness {
    directory: tempfile::TempDir,
}

impl Harness for UnixHarness {
    fn new() -> UnixHarness {
        UnixHarness { directory: tempfile::tempdir().expect("a directory") }
    }

    fn transports(&self) -> Transports {
        Transports::new().with(tls().1.clone())
    }

    fn address(&self) -> String {
        format!("tls+unix://{}/{}.sock?name=server.example", self.directory.path().display(), next())
    }

    fn misshapen(&self) -> Vec<String> {
        ["tls+unix://app?name=a", "tls+unix://127.0.0.1:5555", "tls+unix:///run/app.sock?name=a&port=1"]
            .map(String::from)
            .into()
    }

    fn expected(&self) -> Expected {
        expected()
    }

    fn silent_peer(&self, address: Address) -> BoxFuture<'_, Box<dyn Any + Send>> {
        silent(UnixTransport::new(), address)
    }
}

mod over_tcp {
    use super::*;

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
}

mod over_unix {
    use super::*;

    transport_conformance::tests! {
        UnixHarness;
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
}
