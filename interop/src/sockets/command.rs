//! What sockets are told to do.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Settings, Sockets};

/// One command. `name` is the socket's, as it was opened.
#[allow(missing_docs, reason = "the methods of `Sockets` that send them say what they do")]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Only answer: whoever does is ready.
    Nothing {},
    Open {
        name: String,
        r#type: String,
        #[serde(flatten)]
        settings: Box<Settings>,
    },
    Close {
        name: String,
    },
    Bind {
        name: String,
        to: String,
    },
    Connect {
        name: String,
        to: String,
    },
    Subscribe {
        name: String,
        topic: String,
    },
    Unsubscribe {
        name: String,
        topic: String,
    },
    Send {
        name: String,
        parts: Vec<String>,
    },
    TrySend {
        name: String,
        parts: Vec<String>,
    },
    Recv {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        within: Option<u64>,
    },
    SendShape {
        name: String,
        front: Vec<String>,
        sizes: Vec<usize>,
    },
    RecvShape {
        name: String,
        sizes: Vec<usize>,
    },
    SendNumbers {
        name: String,
        front: Vec<String>,
        count: u64,
        first: u64,
        size: usize,
    },
    RecvNumbers {
        name: String,
        count: u64,
        first: u64,
    },
    RecvGrowing {
        name: String,
        quiet: u64,
    },
    RecvUpTo {
        name: String,
        last: u64,
    },
    Fill {
        name: String,
        front: Vec<String>,
        size: usize,
        most: u64,
    },
    ExchangeNumbers {
        name: String,
        front: Vec<String>,
        count: u64,
        ahead: u64,
    },
    Echo {
        name: String,
        count: u64,
    },
}

impl Command {
    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a command is plain data")
    }
}

impl Sockets {
    /// Opens a socket of this type, such as `"REQ"`.
    ///
    /// # Panics
    ///
    /// All of these do when what they are asked for fails.
    pub async fn open(&mut self, name: &str, r#type: &str, settings: Settings) {
        let (name, r#type) = (name.to_owned(), r#type.to_owned());
        self.run(Command::Open { name, r#type, settings: Box::new(settings) }).await;
    }

    /// Closes a socket, which lingers as its settings say.
    pub async fn close(&mut self, name: &str) {
        self.run(Command::Close { name: name.to_owned() }).await;
    }

    /// Binds, and tells where, as ZeroMQ writes it. An address that is still in use is waited for.
    pub async fn bind(&mut self, name: &str, to: &str) -> String {
        let answer = self.run(Command::Bind { name: name.to_owned(), to: to.to_owned() }).await;
        answer["endpoint"].as_str().expect("bind answers where").to_owned()
    }

    /// Starts to connect.
    pub async fn connect(&mut self, name: &str, to: &str) {
        self.run(Command::Connect { name: name.to_owned(), to: to.to_owned() }).await;
    }

    /// Subscribes a SUB.
    pub async fn subscribe(&mut self, name: &str, topic: &str) {
        self.run(Command::Subscribe { name: name.to_owned(), topic: topic.to_owned() }).await;
    }

    /// Takes a subscription of a SUB back.
    pub async fn unsubscribe(&mut self, name: &str, topic: &str) {
        self.run(Command::Unsubscribe { name: name.to_owned(), topic: topic.to_owned() }).await;
    }

    /// Sends a message. A ROUTER's begins with the routing id of the peer.
    pub async fn send(&mut self, name: &str, parts: &[&str]) {
        self.run(Command::Send { name: name.to_owned(), parts: owned(parts) }).await;
    }

    /// Sends a message if that can be done at once: `"sent"`, `"full"`, or `"no peer"`.
    pub async fn try_send(&mut self, name: &str, parts: &[&str]) -> String {
        let answer = self.run(Command::TrySend { name: name.to_owned(), parts: owned(parts) }).await;
        answer["outcome"].as_str().expect("it answers what became of it").to_owned()
    }

    /// Receives a message. A ROUTER's begins with the routing id of the peer.
    pub async fn recv(&mut self, name: &str) -> Vec<String> {
        let answer = self.run(Command::Recv { name: name.to_owned(), within: None }).await;
        texts(&answer["parts"]).expect("a message")
    }

    /// As [`recv`](Sockets::recv), if one comes within so many milliseconds.
    pub async fn recv_within(&mut self, name: &str, within: u64) -> Option<Vec<String>> {
        let answer = self.run(Command::Recv { name: name.to_owned(), within: Some(within) }).await;
        texts(&answer["parts"])
    }

    /// Sends a message with parts of these sizes behind `front`.
    pub async fn send_shape(&mut self, name: &str, front: &[&str], sizes: &[usize]) {
        let (name, sizes) = (name.to_owned(), sizes.to_vec());
        self.run(Command::SendShape { name, front: owned(front), sizes }).await;
    }

    /// Receives such a message, checks it, and answers what was in front.
    pub async fn recv_shape(&mut self, name: &str, sizes: &[usize]) -> Vec<String> {
        let answer = self.run(Command::RecvShape { name: name.to_owned(), sizes: sizes.to_vec() }).await;
        texts(&answer["front"]).expect("a list of parts")
    }

    /// Sends messages that number themselves from 0 on.
    pub async fn send_numbers(&mut self, name: &str, front: &[&str], count: u64) {
        self.send_numbers_from(0, name, front, count, 0).await;
    }

    /// As [`send_numbers`](Sockets::send_numbers), from another number on and with `size` bytes more in each.
    pub async fn send_numbers_from(
        &mut self,
        first: u64,
        name: &str,
        front: &[&str],
        count: u64,
        size: usize,
    ) {
        let (name, front) = (name.to_owned(), owned(front));
        self.run(Command::SendNumbers { name, front, count, first, size }).await;
    }

    /// Receives so many such messages: all of them, in order.
    pub async fn recv_numbers(&mut self, name: &str, count: u64) {
        self.recv_numbers_from(0, name, count).await;
    }

    /// As [`recv_numbers`](Sockets::recv_numbers), from another number on.
    pub async fn recv_numbers_from(&mut self, first: u64, name: &str, count: u64) {
        self.run(Command::RecvNumbers { name: name.to_owned(), count, first }).await;
    }

    /// Receives numbers in order, of which any may be missing, until none has come for so many milliseconds; tells how
    /// many came.
    pub async fn recv_growing(&mut self, name: &str, quiet: u64) -> u64 {
        let answer = self.run(Command::RecvGrowing { name: name.to_owned(), quiet }).await;
        answer["count"].as_u64().expect("it answers how many")
    }

    /// Receives numbers in order, of which any may be missing but this one, which is the last; tells how many came.
    pub async fn recv_up_to(&mut self, name: &str, last: u64) -> u64 {
        let answer = self.run(Command::RecvUpTo { name: name.to_owned(), last }).await;
        answer["count"].as_u64().expect("it answers how many")
    }

    /// Sends numbers, each with `size` bytes more, until there is no room or there were `most`; tells how many.
    pub async fn fill(&mut self, name: &str, front: &[&str], size: usize, most: u64) -> u64 {
        let (name, front) = (name.to_owned(), owned(front));
        let answer = self.run(Command::Fill { name, front, size, most }).await;
        answer["count"].as_u64().expect("it answers how many")
    }

    /// Sends numbers to who [echoes](Sockets::echo) them, at most `ahead` before they come back.
    pub async fn exchange_numbers(&mut self, name: &str, front: &[&str], count: u64, ahead: u64) {
        let (name, front) = (name.to_owned(), owned(front));
        self.run(Command::ExchangeNumbers { name, front, count, ahead }).await;
    }

    /// Sends back so many messages as they come.
    pub async fn echo(&mut self, name: &str, count: u64) {
        self.run(Command::Echo { name: name.to_owned(), count }).await;
    }

    /// What only libzmq's sockets can be asked for: a function of `peers/zmq_sockets.py`.
    pub async fn ask(&mut self, request: Value) -> Value {
        match self {
            Sockets::There(peer) => peer.ask(request).await,
            Sockets::Here(_) | Sockets::Crates(_) => panic!("these sockets are not libzmq's"),
        }
    }

    /// Notes the events of the connections of a libzmq socket from now on.
    pub async fn watch(&mut self, name: &str) {
        self.ask(json!({"do": "watch", "name": name})).await;
    }

    /// Waits until one of these events of a [watched](Sockets::watch) socket comes, at most for so many milliseconds.
    pub async fn event(&mut self, name: &str, names: &[&str], within: u64) -> Option<String> {
        let request = json!({"do": "event", "name": name, "names": names, "within": within});
        self.ask(request).await["event"].as_str().map(str::to_owned)
    }
}

fn owned(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|&part| part.to_owned()).collect()
}

fn texts(list: &Value) -> Option<Vec<String>> {
    let list = list.as_array()?;
    Some(list.iter().filter_map(|part| part.as_str().map(str::to_owned)).collect())
}
