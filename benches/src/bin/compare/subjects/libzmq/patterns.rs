//! The patterns, between two processes.

use std::os::unix::net::UnixStream;
use std::thread;

use ::zmq::{
    CurveKeyPair, DONTWAIT, Message, POLLIN, PollItem, Socket, SocketType, has, poll, z85_decode, z85_encode,
};

use super::high_water_mark;
use crate::job::{Job, Result, payload};
use crate::patterns::{Arrivals, Credit, Ends, GREETING, GREETING_EVERY, Part, Pattern, Place, now, ready};
use crate::process::{Parent, Role};

/// The processes.
pub(crate) const ENDS: Ends =
    Ends { sender: ("libzmq-sender", send), receiver: ("libzmq-receiver", receive) };

/// A proxy between the ends of any subject.
pub(crate) const PROXY: Role = ("libzmq-proxy", pass_on);

const ANY_PORT: &str = "tcp://127.0.0.1:*";

fn pass_on(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let (front, back) = if part.pattern.is_round_trips() {
        (::zmq::ROUTER, ::zmq::DEALER)
    } else {
        (::zmq::PULL, ::zmq::PUSH)
    };
    let (frontend, backend) = (socket(front, &part, job)?, socket(back, &part, job)?);
    let [front, back] = part.proxys_addresses(job.wire, ANY_PORT)?;
    backend.connect(&back)?;
    frontend.bind(&front)?;
    let address = frontend.get_last_endpoint()?.map_err(|_| "libzmq answered an address that is no text")?;
    parent.tell(&Some(Place { address, key: None }))?;
    Ok(::zmq::proxy(&frontend, &backend)?)
}

fn send(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let listener = part.listen_back()?;
    if part.senders() > 1 {
        return Err("this subject has one sender".into());
    }
    let (kind, _) = kinds(part.pattern);
    let socket = socket(kind, &part, job)?;
    let bound = matches!(part.pattern, Pattern::PubSub(_)).then(|| bind(&socket, &part, job)).transpose()?;
    parent.tell(&bound)?;
    if let Some(place) = parent.hear::<Option<Place>>()? {
        if let Some(key) = place.key {
            let own = CurveKeyPair::new()?;
            socket.set_curve_serverkey(&z85_decode(&key)?)?;
            socket.set_curve_publickey(&own.public_key)?;
            socket.set_curve_secretkey(&own.secret_key)?;
        }
        socket.connect(&place.address)?;
    }
    let (mut back, _) = listener.accept()?;
    let message = payload(job.size);
    if part.pattern.is_round_trips() {
        return ask(&socket, &message, job, parent);
    }
    greet(&socket, &part, &mut back)?;
    ready(parent)?;
    let mut credit = Credit::new(&part, window(job));
    let started = now();
    for number in 0..job.count {
        credit.wait(number, &mut back)?;
        socket.send(&message, 0)?;
    }
    parent.tell(&started)?;
    // Its I/O thread still sends; the parent ends this process.
    loop {
        thread::park();
    }
}

fn greet(socket: &Socket, part: &Part, back: &mut UnixStream) -> Result<()> {
    back.set_nonblocking(true)?;
    socket.send(GREETING, 0)?;
    loop {
        if part.forgets() {
            socket.send(GREETING, 0)?;
        }
        thread::sleep(GREETING_EVERY);
        match std::io::Read::read(back, &mut [0]) {
            Ok(1) => return Ok(back.set_nonblocking(false)?),
            Ok(_) => return Err("the receiver is gone".into()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn ask(socket: &Socket, payload: &[u8], job: &Job, parent: &mut Parent) -> Result<()> {
    let mut echo = Message::new();
    let mut trips = Vec::new();
    // The first trip also waits for the handshake; it does not count.
    for trip in 0..=job.count {
        let started = now();
        socket.send(payload, 0)?;
        socket.recv(&mut echo, 0)?;
        let elapsed = now() - started;
        crate::job::check_length(echo.len(), job)?;
        if trip > 0 {
            trips.push(elapsed);
        }
    }
    parent.tell(&trips)
}

fn receive(job: &Job, parent: &mut Parent) -> Result<()> {
    let part: Part = parent.hear()?;
    let (_, kind) = kinds(part.pattern);
    let mut arrivals = Arrivals::new(job, &part, window(job))?;
    if let Pattern::PubSub(count) = part.pattern {
        let sockets = (0..count).map(|_| subscriber(&part, job)).collect::<Result<Vec<_>>>()?;
        parent.tell(&None::<Place>)?;
        return receive_all(&sockets, arrivals, parent);
    }
    let socket = socket(kind, &part, job)?;
    let place = bind(&socket, &part, job)?;
    parent.tell(&place)?;
    let mut message = Message::new();
    if part.pattern.is_round_trips() {
        loop {
            let mut message = Message::new();
            socket.recv(&mut message, 0)?;
            // The message itself goes back, without a copy.
            socket.send(message, 0)?;
        }
    }
    while !arrivals.is_complete(0) {
        if kind == ::zmq::ROUTER {
            // The routing id first.
            socket.recv(&mut message, 0)?;
        }
        socket.recv(&mut message, 0)?;
        arrivals.arrived(0, message.len())?;
    }
    let finished = now();
    while socket.recv(&mut message, DONTWAIT).is_ok() {
        arrivals.arrived(0, message.len())?;
    }
    arrivals.finish(finished, parent)
}

/// Empties each socket that has something, in turns.
fn receive_all(sockets: &[Socket], mut arrivals: Arrivals, parent: &mut Parent) -> Result<()> {
    let mut items: Vec<PollItem<'_>> = sockets.iter().map(|socket| socket.as_poll_item(POLLIN)).collect();
    let mut message = Message::new();
    while (0..sockets.len()).any(|receiver| !arrivals.is_complete(receiver)) {
        poll(&mut items, -1)?;
        for (receiver, socket) in sockets.iter().enumerate() {
            while socket.recv(&mut message, DONTWAIT).is_ok() {
                arrivals.arrived(receiver, message.len())?;
            }
        }
    }
    arrivals.finish(now(), parent)
}

fn subscriber(part: &Part, job: &Job) -> Result<Socket> {
    let socket = socket(::zmq::SUB, part, job)?;
    socket.set_subscribe(b"")?;
    socket.connect(&part.place()?.address)?;
    Ok(socket)
}

fn socket(kind: SocketType, part: &Part, job: &Job) -> Result<Socket> {
    let socket = super::socket(kind, job)?;
    if matches!(part.pattern, Pattern::PubSub(_)) {
        // No mark: the window holds the publisher back. At a mark it would drop messages of a fast subscriber too, since it
        // looks at most once a millisecond at what was received.
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
    }
    Ok(socket)
}

fn bind(socket: &Socket, part: &Part, job: &Job) -> Result<Place> {
    let mut key = None;
    if part.pattern == Pattern::Curve {
        if has("curve") != Some(true) {
            return Err("this libzmq was built without CURVE, see benches/README.md".into());
        }
        let own = CurveKeyPair::new()?;
        socket.set_curve_server(true)?;
        socket.set_curve_secretkey(&own.secret_key)?;
        key = Some(z85_encode(&own.public_key)?);
    }
    socket.bind(&part.address(job.wire, ANY_PORT))?;
    let address = socket.get_last_endpoint()?.map_err(|_| "libzmq answered an address that is no text")?;
    Ok(Place { address, key })
}

fn kinds(pattern: Pattern) -> (SocketType, SocketType) {
    match pattern {
        Pattern::PushPull | Pattern::Curve => (::zmq::PUSH, ::zmq::PULL),
        Pattern::DealerRouter(_) => (::zmq::DEALER, ::zmq::ROUTER),
        Pattern::PubSub(_) => (::zmq::PUB, ::zmq::SUB),
        Pattern::ReqRep(_) => (::zmq::REQ, ::zmq::REP),
    }
}

/// As much as its queue takes.
fn window(job: &Job) -> u64 {
    u64::from(high_water_mark(job.size).unsigned_abs())
}
