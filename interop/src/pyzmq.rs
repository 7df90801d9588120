//! A libzmq socket in another process.

use serde_json::{Value, json};

use crate::peer::Peer;
use crate::python::Python;

/// A libzmq socket, driven by pyzmq in a process of its own.
///
/// Bytes are written as text whose characters are the bytes 0 to 255, which for ASCII is the text itself.
#[derive(Debug)]
pub struct Pyzmq {
    peer: Peer,
}

impl Pyzmq {
    /// Opens a socket of this type with options by their names in pyzmq, such as `{"ROUTING_ID": "a"}`.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open(python: &Python, socket_type: &str, options: Value) -> Pyzmq {
        Pyzmq::open_in(Peer::start(python, SCRIPT), socket_type, options).await
    }

    /// As [`open`](Pyzmq::open), in a process of another user; `None` where that cannot be, or that user cannot
    /// read the script or pyzmq.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open_as(uid: u32, python: &Python, socket_type: &str, options: Value) -> Option<Pyzmq> {
        let mut peer = Peer::start_as(uid, python, SCRIPT)?;
        if !peer.is_ready().await {
            return None;
        }
        Some(Pyzmq::open_in(peer, socket_type, options).await)
    }

    /// As [`open`](Pyzmq::open), with an authentication handler (RFC 27/ZAP) that knows one user, or that denies every
    /// address of this host.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open_guarded(python: &Python, socket_type: &str, options: Value, guard: Value) -> Pyzmq {
        let mut peer = Peer::start(python, SCRIPT);
        peer.ask(merged(json!({"do": "guard"}), guard)).await;
        Pyzmq::open_in(peer, socket_type, options).await
    }

    async fn open_in(mut peer: Peer, socket_type: &str, options: Value) -> Pyzmq {
        peer.ask(json!({"do": "open", "type": socket_type, "options": options})).await;
        Pyzmq { peer }
    }

    /// The process.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// The process, by value.
    pub fn into_peer(self) -> Peer {
        self.peer
    }

    /// Binds, and says where.
    ///
    /// # Panics
    ///
    /// When it cannot bind.
    pub async fn bind(&mut self, endpoint: &str) -> String {
        let answer = self.peer.ask(json!({"do": "bind", "to": endpoint})).await;
        answer["endpoint"].as_str().expect("bind answers where").to_owned()
    }

    /// Starts to connect.
    ///
    /// # Panics
    ///
    /// When libzmq does not like the endpoint.
    pub async fn connect(&mut self, endpoint: &str) {
        self.peer.ask(json!({"do": "connect", "to": endpoint})).await;
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// When there is no room for it in time.
    pub async fn send(&mut self, parts: &[&str]) {
        self.peer.ask(json!({"do": "send", "parts": parts})).await;
    }

    /// Receives a message.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn recv(&mut self) -> Vec<String> {
        parts(&self.peer.ask(json!({"do": "recv"})).await["parts"])
    }

    /// Starts to send back so many messages as they come; [`done`](Pyzmq::done) waits for the end.
    ///
    /// # Panics
    ///
    /// When the process has ended.
    pub async fn echo(&mut self, count: usize) {
        self.peer.tell(json!({"do": "echo", "count": count})).await;
    }

    /// Waits for the end of what was started last.
    ///
    /// # Panics
    ///
    /// When it failed or does not end in time.
    pub async fn done(&mut self) -> Value {
        self.peer.answer().await
    }

    /// Makes calls, all at once, and gathers the replies: the kind of each and its parts.
    ///
    /// # Panics
    ///
    /// When one does not come in time.
    pub async fn call(&mut self, bodies: &[&str]) -> Value {
        self.peer.ask(json!({"do": "call", "bodies": bodies})).await["replies"].take()
    }

    /// Makes a call and gives it up.
    ///
    /// # Panics
    ///
    /// When there is no room for it in time.
    pub async fn call_and_cancel(&mut self, number: u64, body: &str) {
        self.peer.ask(json!({"do": "cancel", "number": number, "body": body})).await;
    }

    /// Starts to gather so many calls at a ROUTER, and to reply then to the last one first; to `fail` with an error.
    /// [`done`](Pyzmq::done) waits for the end.
    ///
    /// # Panics
    ///
    /// When the process has ended.
    pub async fn reply(&mut self, count: usize) {
        self.peer.tell(json!({"do": "reply", "count": count})).await;
    }

    /// Starts to note the events of the socket's connections.
    ///
    /// # Panics
    ///
    /// When libzmq cannot do that.
    pub async fn watch(&mut self) {
        self.peer.ask(json!({"do": "watch"})).await;
    }

    /// Waits until one of these events comes, at most for so many milliseconds: its name and value.
    ///
    /// # Panics
    ///
    /// When [`watch`](Pyzmq::watch) was not called.
    pub async fn event(&mut self, names: &[&str], within: u64) -> Option<(String, i64)> {
        let answer = self.peer.ask(json!({"do": "event", "names": names, "within": within}));
        let answer = answer.await;
        let name = answer["event"].as_str()?;
        Some((name.to_owned(), answer["value"].as_i64().unwrap_or_default()))
    }
}

/// The bytes as the scripts write them: one character for each.
fn parts(list: &Value) -> Vec<String> {
    let parts = list.as_array().into_iter().flatten();
    parts.filter_map(|part| part.as_str().map(str::to_owned)).collect()
}

fn merged(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

const SCRIPT: &str = "pyzmq_peer.py";
