//! One suite of what every transport must do.
//!
//! A transport implements [`Harness`] in its `tests/conformance.rs` and lists the [`TESTS`] in [`tests!`], one line
//! each. The suite looks at its byte streams first, and then at messages and servers over them.
//!
//! [`replay_corpus`] is for the crates with fuzz targets.
#![forbid(unsafe_code)]

mod bytes;
mod closing;
mod corpus;
mod descriptors;
mod establish;
mod faults;
mod harness;
mod listening;
mod messages;
mod pattern;
mod sending;
mod server;
mod shutdown;

pub use corpus::replay_corpus;
pub use harness::{Expected, Harness, bounded};

/// Names the tests once: a test that is missing here is unused code.
macro_rules! suite {
    ($($module:ident: $($test:ident)*;)*) => {
        /// The tests, each for any transport.
        pub mod suite {
            $(pub use crate::$module::{$($test),*};)*
        }

        /// The names of all tests.
        pub const TESTS: &[&str] = &[$($(stringify!($test)),*),*];
    };
}
suite! {
    bytes:
        bytes_arrive_in_order
        both_directions_flow_at_once_with_full_buffers
        end_of_stream_is_seen
        one_direction_ends_while_the_other_goes_on
        dropping_one_end_ends_the_other
        a_vectored_write_delivers_all_slices_in_order
        a_plain_socket_is_given_where_there_is_one;
    listening:
        accept_is_not_held_up_by_a_silent_peer
        many_connections_are_open_at_once
        connecting_to_nobody_fails_and_names_the_address
        listening_twice_at_one_address_fails
        an_address_of_another_shape_is_refused
        the_local_address_can_be_connected_to
        the_protection_is_as_expected
        dropping_the_listener_frees_the_address
        dropping_the_listener_leaves_open_streams_alone
        a_peer_still_waiting_sees_the_listener_end
        dropping_a_connect_future_is_harmless;
    messages:
        identities_are_as_expected
        messages_of_every_shape_make_the_round_trip
        messages_of_several_senders_stay_in_order
        a_dropped_recv_loses_nothing
        several_messages_are_received_at_once
        spinning_receives_the_same_messages
        a_connection_can_be_taken_apart
        a_connection_moves_to_another_runtime_or_stays;
    sending:
        a_dropped_send_sends_all_or_nothing
        a_dropped_send_of_a_sender_sends_all_or_nothing
        both_sides_send_more_than_the_buffers_hold;
    closing:
        close_delivers_what_was_sent
        close_delivers_what_was_sent_while_the_peer_sends
        closing_a_sender_leaves_the_receiver_open
        a_peer_that_vanishes_mid_message_is_noticed
        a_closed_connection_is_told_with_what_went_over_it;
    descriptors:
        descriptors_are_passed_or_refused_clearly;
    server:
        a_silent_peer_holds_up_no_connection
        abandoned_handshakes_are_harmless
        denial_is_seen_on_both_sides
        a_client_refuses_a_server_that_its_policy_denies
        a_raw_server_hands_over_stream_and_identity
        peers_beyond_the_cap_wait_until_there_is_room
        a_server_goes_on_with_a_listener_that_there_is;
    shutdown:
        shutdown_lets_connections_finish
        shutdown_cuts_who_does_not_finish
        shutdown_frees_the_address
        shutdown_does_not_wait_for_who_was_never_handed_over
        the_last_event_says_that_the_server_stopped
        dropping_a_server_leaves_its_connections_open
        a_server_that_retires_turns_nobody_away;
    faults:
        a_stream_that_ends_at_any_byte_is_noticed
        a_stream_that_is_reset_at_any_byte_is_noticed
        messages_pass_in_pieces_of_any_size
        a_stream_that_takes_nothing_is_given_up
        a_peer_that_falls_silent_is_given_up;
}

/// Runs tests of the suite for one [`Harness`].
///
/// ```text
/// transport_conformance::tests! { MyHarness; bytes_arrive_in_order, end_of_stream_is_seen }
/// ```
#[macro_export]
macro_rules! tests {
    ($harness:ty; $($test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let harness = <$harness as $crate::Harness>::new();
                $crate::bounded(stringify!($test), $crate::suite::$test(harness)).await;
            }
        )*

        #[test]
        fn no_test_of_the_suite_is_left_out() {
            let listed: &[&str] = &[$(stringify!($test)),*];
            let left_out: Vec<_> = $crate::TESTS.iter().filter(|test| !listed.contains(test)).collect();
            assert!(left_out.is_empty(), "left out: {left_out:?}");
        }
    };
}

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
