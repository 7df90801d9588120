//! What every socket type offers.

/// Endpoints, events and the end, for a socket with a field `hub` that owns it.
macro_rules! common {
    ($socket:ident) => {
        impl $socket {
            /// Binds to an endpoint, and tells where: with the port that was chosen, if any was.
            ///
            /// # Errors
            ///
            /// See [`EndpointError`](crate::EndpointError).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future leaves the socket as it was.
            pub async fn bind(
                &self,
                endpoint: impl Into<crate::Endpoint>,
            ) -> Result<transport_core::Address, crate::EndpointError> {
                self.hub.bind(endpoint.into(), &self.hub.config.security).await
            }

            /// As [`bind`](Self::bind), with rules of its own for who may come in there.
            ///
            /// # Errors
            ///
            /// See [`EndpointError`](crate::EndpointError).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future leaves the socket as it was.
            pub async fn bind_with(
                &self,
                endpoint: impl Into<crate::Endpoint>,
                security: impl Into<crate::Security>,
            ) -> Result<transport_core::Address, crate::EndpointError> {
                self.hub.bind(endpoint.into(), &security.into()).await
            }

            /// Starts to connect to an endpoint, and connects again whenever the connection is lost.
            ///
            /// # Errors
            ///
            /// See [`EndpointError`](crate::EndpointError); that nobody listens there is none, and shows in the
            /// [`events`](Self::events).
            pub fn connect(
                &self,
                endpoint: impl Into<crate::Endpoint>,
            ) -> Result<transport_core::Address, crate::EndpointError> {
                self.hub.connect(endpoint.into(), &self.hub.config.security)
            }

            /// As [`connect`](Self::connect), with rules of its own for who may be there.
            ///
            /// # Errors
            ///
            /// See [`connect`](Self::connect).
            pub fn connect_with(
                &self,
                endpoint: impl Into<crate::Endpoint>,
                security: impl Into<crate::Security>,
            ) -> Result<transport_core::Address, crate::EndpointError> {
                self.hub.connect(endpoint.into(), &security.into())
            }

            /// Stops accepting at an endpoint, as it was given or as [`bind`](Self::bind) told it. Peers that came through
            /// it stay.
            ///
            /// # Errors
            ///
            /// When the socket is not bound there.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe: the socket accepts no more there.
            pub async fn unbind(
                &self,
                endpoint: impl Into<crate::Endpoint>,
            ) -> Result<(), crate::EndpointError> {
                self.hub.unbind(endpoint.into()).await
            }

            /// Closes the connection to an endpoint and connects to it no more. What waits for it is dropped.
            ///
            /// # Errors
            ///
            /// When the socket does not connect there.
            pub fn disconnect(
                &self,
                endpoint: impl Into<crate::Endpoint>,
            ) -> Result<(), crate::EndpointError> {
                self.hub.disconnect(endpoint.into())
            }

            /// What happens at the socket from now on; of the first call, from the start.
            pub fn events(&self) -> crate::SocketEvents {
                self.hub.events()
            }

            /// The peers that are connected now.
            pub fn peers(&self) -> Vec<crate::Peer> {
                self.hub.peers()
            }

            /// Closes the socket: sends what is queued, for as long as the socket lingers, and waits for that.
            ///
            /// A socket that is dropped does the same in the background, as long as its runtime goes on.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe: the socket goes on closing in the background.
            pub async fn close(self) {
                self.hub.close().await;
            }
        }

        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($socket))
                    .field("peers", &self.hub.peers().len())
                    .finish_non_exhaustive()
            }
        }
    };
}

/// Receiving plain messages, for a socket with a field `incoming`.
macro_rules! receiving {
    ($socket:ident) => {
        impl $socket {
            /// Receives the next message, from each peer in turn.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe.
            #[inline]
            pub async fn recv(&mut self) -> transport_core::Message {
                self.incoming.recv().await
            }

            /// Receives the next message, and tells who sent it.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe.
            pub async fn recv_from(&mut self) -> (transport_core::Message, crate::Peer) {
                let message = self.incoming.recv().await;
                (message, self.incoming.sender_of_last())
            }

            /// Receives up to `max` messages that have arrived, appended to `messages`; waits for the first one. Returns
            /// how many, which is 0 only when `max` is.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe.
            pub async fn recv_many(
                &mut self,
                messages: &mut Vec<transport_core::Message>,
                max: usize,
            ) -> usize {
                self.incoming.recv_many(messages, max).await
            }

            /// Shows the messages of one peer that have arrived together to `visit`, without counting references to them: the
            /// fastest way to receive small ones. Waits for the first one, and returns how many they were.
            ///
            /// Peers take turns by what has arrived of them together, which is 128 KiB or one larger message at most, rather
            /// than message by message.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe.
            pub async fn recv_each(
                &mut self,
                visit: impl FnMut(transport_core::MessageRef<'_>, &crate::Peer),
            ) -> usize {
                self.incoming.recv_each(visit).await
            }

            /// The next message, if one has arrived.
            pub fn try_recv(&mut self) -> Option<transport_core::Message> {
                self.incoming.try_recv()
            }
        }
    };
}

/// A stream of messages, for a socket that only receives.
macro_rules! streaming {
    ($socket:ident) => {
        /// Never ends.
        impl futures_util::Stream for $socket {
            type Item = transport_core::Message;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<transport_core::Message>> {
                self.incoming.poll_recv(cx).map(Some)
            }
        }
    };
}

/// Sending plain messages, for a socket with a field `outgoing`.
macro_rules! sending {
    ($socket:ident) => {
        impl $socket {
            /// Sends a message to the next peer with room; waits until there is one.
            ///
            /// # Errors
            ///
            /// When the message cannot be sent to anyone.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe: the message goes out as a whole or not at all.
            #[inline]
            pub async fn send(
                &mut self,
                message: impl Into<transport_core::MessageRef<'_>>,
            ) -> Result<(), transport_core::SendError> {
                self.outgoing.send(message.into()).await.map(|_| ())
            }

            /// Sends a message if there is a peer with room; false when there is none.
            ///
            /// # Errors
            ///
            /// As [`send`](Self::send).
            pub fn try_send<'m>(
                &mut self,
                message: impl Into<transport_core::MessageRef<'m>>,
            ) -> Result<bool, transport_core::SendError> {
                Ok(self.outgoing.try_send(message.into())?.is_some())
            }

            /// Sends all of the messages in turns; waits for room.
            ///
            /// # Errors
            ///
            /// As [`send`](Self::send).
            ///
            /// # Cancel safety
            ///
            /// Not cancel-safe: it is not told how many were sent. Use [`try_send_many`](Self::try_send_many) or `send`.
            pub async fn send_many(
                &mut self,
                messages: &[transport_core::Message],
            ) -> Result<(), transport_core::SendError> {
                self.outgoing.send_many(messages).await
            }

            /// Sends messages in turns, as many as there is room for without waiting; returns how many, counted from the
            /// front.
            ///
            /// # Errors
            ///
            /// As [`send`](Self::send), when the first one cannot be sent; at a later one it stops.
            pub fn try_send_many(
                &mut self,
                messages: &[transport_core::Message],
            ) -> Result<usize, transport_core::SendError> {
                self.outgoing.try_send_many(messages)
            }
        }
    };
}

/// A sink of messages, for a socket with a field `slot`: `$turn` is ready when the socket may go on, `$send`
/// tries to send, and `$end` ends the socket.
macro_rules! sinking {
    (
        $socket:ident:
        turn: |$going_on:ident, $turn_cx:ident| $turn:expr,
        send: |$this:ident, $message:ident| $send:expr,
        end: |$ending:ident, $end_cx:ident| $end:expr $(,)?
    ) => {
        impl futures_util::Sink<transport_core::Message> for $socket {
            type Error = transport_core::SendError;

            fn poll_ready(
                mut self: std::pin::Pin<&mut Self>,
                $turn_cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                let $going_on = &mut *self;
                std::task::ready!($turn);
                self.poll_flush($turn_cx)
            }

            fn start_send(
                self: std::pin::Pin<&mut Self>,
                message: transport_core::Message,
            ) -> Result<(), Self::Error> {
                let $this = self.get_mut();
                $this.slot.put(message, |$message| $send)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                let $this = self.get_mut();
                $this.slot.poll_empty(cx, |$message| $send)
            }

            fn poll_close(
                mut self: std::pin::Pin<&mut Self>,
                $end_cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                std::task::ready!(self.as_mut().poll_flush($end_cx))?;
                let $ending = self.get_mut();
                $end.map(Ok)
            }
        }
    };
}

/// Splitting, for a socket that sends and receives plain messages.
macro_rules! splitting {
    ($socket:ident) => {
        impl $socket {
            /// Splits the socket for use by two tasks. Endpoints, events and peers are best asked for before.
            pub fn split(self) -> (DuplexSender, DuplexReceiver) {
                let owner = Arc::new(self.hub);
                (
                    DuplexSender::new(self.outgoing, Arc::clone(&owner)),
                    DuplexReceiver::new(self.incoming, owner),
                )
            }
        }
    };
}

/// The end of a proxy, for a socket with a field `hub`.
macro_rules! proxying {
    ($socket:ident: |$this:ident| $inlet:expr, $outlet:expr) => {
        impl From<$socket> for crate::ProxyEnd {
            fn from($this: $socket) -> crate::ProxyEnd {
                crate::ProxyEnd::new($this.hub, $inlet, $outlet)
            }
        }
    };
}
