//! The suite of all transports, over streams that travel as ZeroMQ messages.

use std::sync::atomic::{AtomicU16, Ordering};

use std::any::Any;

use tempfile::TempDir;
use transport_conformance::{Expected, Harness};
use transport_core::tcp::TcpTransport;
use transport_core::{Address, BoxFuture, Protection, Transports};
use transport_unix::UnixTransport;
use transport_zmq::ZmqTransport;

/// Each test listens at a loopback address of its own, so that no other takes a port that has just been freed.
static NEXT: AtomicU16 = AtomicU16::new(1);

/// A stream is asked for over a ZeroMQ connection, which the listener must take in first: so it is asked for beside.
fn silent_peer(transports: Transports, address: Address) -> BoxFuture<'static, Box<dyn Any + Send>> {
    let transport = transports.lookup(address.scheme()).expect("it is in the table").clone();
    let silent = tokio::spawn(async move { transport.connect(&address).await });
    Box::pin(std::future::ready(Box::new(silent) as Box<dyn Any + Send>))
}

mod over_tcp {
    use super::*;

    struct OverTcp;

    impl Harness for OverTcp {
        fn new() -> OverTcp {
            OverTcp
        }

        fn transports(&self) -> Transports {
            Transports::new().with(ZmqTransport::new("zmq+tcp", TcpTransport::new()))
        }

        fn address(&self) -> String {
            let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            format!("zmq+tcp://127.84.{high}.{low}:0")
        }

        fn misshapen(&self) -> Vec<String> {
            [
                "zmq+tcp:///run/app.sock",
                "zmq+tcp:@app",
                "zmq+tcp://app",
                "zmq+tcp://127.0.0.1:5555?attach=perhaps",
            ]
            .map(String::from)
            .into()
        }

        fn silent_peer(&self, address: Address) -> BoxFuture<'_, Box<dyn Any + Send>> {
            silent_peer(self.transports(), address)
        }

        fn expected(&self) -> Expected {
            Expected {
                client: "anonymous".into(),
                server: "anonymous".into(),
                protection: Protection::Loopback,
                vectored: true,
                plain_socket: false,
            }
        }
    }

    transport_conformance::tests! {
        OverTcp;
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

    struct OverUnix {
        folder: TempDir,
    }

    impl Harness for OverUnix {
        fn new() -> OverUnix {
            OverUnix { folder: tempfile::tempdir().expect("a folder") }
        }

        fn transports(&self) -> Transports {
            Transports::new().with(ZmqTransport::new("zmq+unix", UnixTransport::new()))
        }

        fn address(&self) -> String {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            format!("zmq+unix://{}/{number}.sock", self.folder.path().display())
        }

        fn misshapen(&self) -> Vec<String> {
            ["zmq+unix://127.0.0.1:5555", "zmq+unix://app"].map(String::from).into()
        }

        fn silent_peer(&self, address: Address) -> BoxFuture<'_, Box<dyn Any + Send>> {
            silent_peer(self.transports(), address)
        }

        fn expected(&self) -> Expected {
            let user = format!("uid:{}", rustix::process::geteuid().as_raw());
            Expected {
                client: user.clone(),
                server: user,
                protection: Protection::SameHost,
                vectored: true,
                plain_socket: false,
            }
        }
    }

    transport_conformance::tests! {
        OverUnix;
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

mod over_tls {
    use std::sync::OnceLock;

    use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig, Profile};
    use transport_tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};

    use super::*;

    struct OverTls;

    /// One transport for all tests, with a certificate for both sides.
    fn tls() -> &'static TlsTransport {
        static TLS: OnceLock<TlsTransport> = OnceLock::new();
        TLS.get_or_init(|| {
            let authority = CertificateAuthority::new(&AuthorityConfig::default()).expect("an authority");
            let names = LeafConfig::new(["server.example", "spiffe://example/peer"]).expect("names");
            let own = authority.issue(&names.with_profile(Profile::Peer)).expect("a certificate");
            let config = TlsConfig::new()
                .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
                .with_trust(Trust::ca_pem(authority.certificate().pem()));
            TlsTransport::with_config(config).expect("settings that fit")
        })
    }

    impl Harness for OverTls {
        fn new() -> OverTls {
            OverTls
        }

        fn transports(&self) -> Transports {
            Transports::new().with(ZmqTransport::new("zmq+tls", tls().clone()))
        }

        fn address(&self) -> String {
            let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            format!("zmq+tls://127.84.{high}.{low}:0?name=server.example")
        }

        fn misshapen(&self) -> Vec<String> {
            ["zmq+tls:///run/app.sock?name=a", "zmq+tls://app?name=a"].map(String::from).into()
        }

        fn silent_peer(&self, address: Address) -> BoxFuture<'_, Box<dyn Any + Send>> {
            silent_peer(self.transports(), address)
        }

        fn expected(&self) -> Expected {
            Expected {
                client: "spiffe://example/peer".into(),
                server: "spiffe://example/peer".into(),
                protection: Protection::Encrypted,
                vectored: true,
                plain_socket: false,
            }
        }
    }

    transport_conformance::tests! {
        OverTls;
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
