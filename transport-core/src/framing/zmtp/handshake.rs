//! The framing from the first byte until authentication: greeting and handshake commands.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::decoder::ZmtpDecoder;
use super::encoder::ZmtpEncoder;
use super::frame::{COMMAND, Header, LONG, put_header};
use super::socket_type::SocketType;
use super::{command, greeting};
use crate::claims::Claims;
use crate::framing::{Event, Framing, FramingError, FramingFactory, Halves, Handshake, Role, Seal, Token};
use crate::limits::Limits;
use crate::write_buffer::WriteBuffer;

/// ZMTP 3.1: the default [`FramingFactory`].
///
/// Unless told otherwise, the accepting side says that it is a ROUTER and the connecting side that it is a DEALER, so
/// that REQ, REP, DEALER and ROUTER sockets of any ZeroMQ library can be the peer. The parts of a message are exactly
/// the frames on the wire: the empty delimiter of a REQ peer is visible.
#[derive(Clone, Debug, Default)]
pub struct Zmtp {
    socket_type: Option<SocketType>,
    routing_id: Bytes,
    properties: Claims,
}

impl Zmtp {
    /// The default: ROUTER or DEALER without a routing id.
    pub fn new() -> Zmtp {
        Zmtp::default()
    }

    /// Sets what this side says that it is.
    #[must_use]
    pub fn with_socket_type(mut self, socket_type: SocketType) -> Zmtp {
        self.socket_type = Some(socket_type);
        self
    }

    /// Sets the routing id (the `Identity` property) that a ROUTER peer may use for this connection; 1 to 255 bytes
    /// that do not start with a zero byte, or empty for none.
    ///
    /// # Errors
    ///
    /// When it is longer or starts with a zero byte (RFC 37/ZMTP).
    pub fn with_routing_id(mut self, routing_id: impl Into<Bytes>) -> Result<Zmtp, PropertyError> {
        let routing_id = routing_id.into();
        if routing_id.len() > MAX_ROUTING_ID || routing_id.first() == Some(&0) {
            return Err(PropertyError(
                "a routing id has at most 255 bytes and does not start with a zero byte",
            ));
        }
        self.routing_id = routing_id;
        Ok(self)
    }

    /// Adds a property that the peer finds among this side's [`Claims`]; by convention its name starts with `X-`.
    ///
    /// # Errors
    ///
    /// When the name has not 1 to 255 bytes, or the value 2 GiB or more (RFC 37/ZMTP).
    pub fn with_property(
        mut self,
        name: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Result<Zmtp, PropertyError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || name.len() > 255 || value.len() >= 1 << 31 {
            return Err(PropertyError(
                "a property has a name of 1 to 255 bytes and a value of less than 2 GiB",
            ));
        }
        self.properties.push(name, value);
        Ok(self)
    }
}

/// A property that ZMTP cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PropertyError(&'static str);

impl FramingFactory for Zmtp {
    fn framing(&self, role: Role, mechanisms: &[&str], limits: &Limits) -> Box<dyn Framing> {
        let default = if role == Role::Server { SocketType::Router } else { SocketType::Dealer };
        Box::new(ZmtpHandshake {
            config: self.clone(),
            socket_type: self.socket_type.unwrap_or(default),
            role,
            mechanism: mechanisms.first().copied().unwrap_or("NULL").to_owned(),
            frame_limit: limits.handshake_frame,
            peer_minor: None,
        })
    }
}

struct ZmtpHandshake {
    config: Zmtp,
    socket_type: SocketType,
    role: Role,
    /// The mechanism of this side: the connecting one names it at once.
    mechanism: String,
    frame_limit: usize,
    /// Known once the greeting has come.
    peer_minor: Option<u8>,
}

impl Framing for ZmtpHandshake {
    fn handshake(&self) -> Handshake {
        Handshake::Mechanism
    }

    fn start(&mut self, out: &mut WriteBuffer) {
        greeting::put_version(out);
        // A server holds the rest back until it knows what the peer wants.
        if self.role == Role::Client {
            greeting::put_mechanism(&self.mechanism, self.role, out);
        }
    }

    /// A greeting has 64 bytes, so where it ends is known without an answer. libzmq takes the command behind it, and never sees
    /// it when it leaves for another mechanism.
    fn takes_early_token(&self) -> bool {
        true
    }

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        if self.peer_minor.is_none() {
            let Some(greeting) = greeting::read(input)? else {
                return Ok(None);
            };
            input.advance(greeting::LENGTH);
            self.peer_minor = Some(greeting.minor);
            return Ok(Some(Event::Offer(greeting.mechanism)));
        }
        let Some(header) = Header::read(input) else {
            return Ok(None);
        };
        if header.body > self.frame_limit as u64 {
            return Err(FramingError::TooLarge { announced: header.body, limit: self.frame_limit });
        }
        let body = usize::try_from(header.body).unwrap_or(usize::MAX);
        if input.len() < header.length + body {
            return Ok(None);
        }
        input.advance(header.length);
        // A copy: the few bytes of a handshake must not keep the read buffer alive.
        let body = Bytes::copy_from_slice(&input.split_to(body));
        self.handshake_command(&body).map(Some)
    }

    fn missing(&self, input: &[u8]) -> usize {
        let whole = match (self.peer_minor, Header::read(input)) {
            (None, _) => greeting::LENGTH,
            (Some(_), Some(header)) => {
                header.length.saturating_add(usize::try_from(header.body).unwrap_or(usize::MAX))
            }
            (Some(_), None) if input.first().is_some_and(|flags| flags & LONG != 0) => 9,
            (Some(_), None) => 2,
        };
        whole.saturating_sub(input.len()).max(1)
    }

    fn choose(&mut self, mechanism: &str, out: &mut WriteBuffer) {
        if self.role == Role::Server {
            greeting::put_mechanism(mechanism, self.role, out);
        }
        mechanism.clone_into(&mut self.mechanism);
    }

    fn encode_token(&mut self, token: &Token, out: &mut WriteBuffer) {
        let body = command::body(&token.name, &token.body);
        put_header(COMMAND, body.len(), out);
        out.put_slice(&body);
    }

    fn encode_refusal(&mut self, reason: &str, out: &mut WriteBuffer) {
        self.encode_token(&Token::new("ERROR", command::error_data(reason)), out);
    }

    fn own_claims(&self) -> Claims {
        let mut claims = Claims::new().with("Socket-Type", self.socket_type.as_str());
        if self.socket_type.sends_identity() {
            claims.push("Identity", self.config.routing_id.clone());
        }
        claims.extend(self.config.properties.clone());
        claims
    }

    fn accept_claims(&mut self, claims: &Claims) -> Result<(), FramingError> {
        // Every one of several equal names is checked, and a missing one is not an error: both as libzmq does.
        for (name, value) in claims.iter() {
            if name.eq_ignore_ascii_case("Socket-Type") {
                let theirs = std::str::from_utf8(value).ok().and_then(|name| name.parse().ok());
                if !theirs.is_some_and(|theirs| self.socket_type.is_compatible(theirs)) {
                    let theirs = value[..value.len().min(20)].escape_ascii().to_string();
                    return Err(FramingError::Incompatible { ours: self.socket_type.to_string(), theirs });
                }
            } else if name.eq_ignore_ascii_case("Identity") && value.len() > MAX_ROUTING_ID {
                let problem = format!("it has {} bytes, the limit is {MAX_ROUTING_ID}", value.len());
                return Err(FramingError::Malformed { what: "Identity property", problem });
            }
        }
        Ok(())
    }

    fn into_halves(
        self: Box<Self>,
        seal: Option<Seal>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Halves, FramingError> {
        let (sealer, opener) = seal.map(|seal| (seal.sealer, seal.opener)).unzip();
        // PING, SUBSCRIBE and CANCEL came with ZMTP 3.1.
        let knows_commands = self.peer_minor.is_some_and(|minor| minor > 0);
        let subscribes = matches!(self.socket_type, SocketType::Sub | SocketType::XSub);
        let publishes = matches!(self.socket_type, SocketType::Pub | SocketType::XPub);
        let decoder = ZmtpDecoder::new(limits, opener, knows_commands, now).with_subscriptions(publishes);
        Ok(Halves {
            encoder: Box::new(ZmtpEncoder { sealer, subscription_commands: subscribes && knows_commands }),
            decoder: Box::new(decoder),
        })
    }
}

impl ZmtpHandshake {
    /// The command flag is not looked at: libzmq does not either, during the handshake.
    fn handshake_command(&self, body: &Bytes) -> Result<Event, FramingError> {
        // libzmq 4.3 writes the ERROR of PLAIN with one wrong byte and its name one byte short.
        if let Some(data) = body.strip_prefix(b"\x5eRROR").filter(|_| self.role == Role::Client) {
            return command::read_error(data).map(Event::Refused);
        }
        let Some(token) = command::read(body) else {
            let problem = "its name is longer than the frame, or not ASCII".into();
            return Err(FramingError::Malformed { what: "handshake command", problem });
        };
        if token.name == "ERROR" {
            return command::read_error(&token.body).map(Event::Refused);
        }
        Ok(Event::Token(token))
    }
}

const MAX_ROUTING_ID: usize = 255;
