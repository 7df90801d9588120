//! Who wants which topics: a tree of prefixes (RFC 29/PUBSUB).
//!
//! ```text
//! subscriptions "", "news.a" of 1 and "news.b" of 2          matching "news.all" visits 1, 1
//!
//!        "" {1}
//!         '- "news."
//!              |- "a" {1}
//!              '- "b" {2}
//! ```
//!
//! The nodes lie in one vector, so that no tree of a hostile peer makes anything recur deeply.

use transport_core::Message;

/// A subscription as a message: this byte and the topic.
pub(crate) const SUBSCRIBE: u8 = 1;
/// The end of a subscription as a message: this byte and the topic.
pub(crate) const CANCEL: u8 = 0;

/// A subscription, or the end of one, as a message.
pub(crate) fn message(kind: u8, topic: &[u8]) -> Message {
    Message::new([&[kind], topic].concat())
}

/// Topics, and who has subscribed to each. A subscription is there or not: it is not counted (see RFC 37's counting, which
/// libzmq does not follow).
#[derive(Debug)]
pub(crate) struct Subscriptions<K> {
    nodes: Vec<Node<K>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Node<K> {
    /// What follows the parent's topic; empty for the root only.
    label: Vec<u8>,
    /// In ascending order.
    keys: Vec<K>,
    /// By the first byte of their labels, in ascending order.
    children: Vec<(u8, usize)>,
}

const ROOT: usize = 0;

impl<K: Copy + Ord> Subscriptions<K> {
    pub(crate) fn new() -> Subscriptions<K> {
        let root = Node { label: Vec::new(), keys: Vec::new(), children: Vec::new() };
        Subscriptions { nodes: vec![root], free: Vec::new() }
    }

    /// Subscribes `key` to everything that begins with `topic`; true when nobody had subscribed to the same topic.
    pub(crate) fn insert(&mut self, topic: &[u8], key: K) -> bool {
        let (mut at, mut rest) = (ROOT, topic);
        while let Some(&first) = rest.first() {
            let Ok(place) = self.child(at, first) else {
                let node = self.add(Node { label: rest.to_vec(), keys: vec![key], children: Vec::new() });
                self.link(at, first, node);
                return true;
            };
            let child = self.nodes[at].children[place].1;
            let common = common_length(&self.nodes[child].label, rest);
            at = if common < self.nodes[child].label.len() { self.split(at, place, common) } else { child };
            rest = &rest[common..];
        }
        let keys = &mut self.nodes[at].keys;
        let first = keys.is_empty();
        if let Err(place) = keys.binary_search(&key) {
            keys.insert(place, key);
        }
        first
    }

    /// Takes a subscription back; true when nobody is left who has subscribed to the same topic.
    pub(crate) fn remove(&mut self, topic: &[u8], key: K) -> bool {
        let (mut parent, mut at, mut rest) = (ROOT, ROOT, topic);
        while !rest.is_empty() {
            let Some((child, after)) = self.step(at, rest) else { return false };
            (parent, at, rest) = (at, child, after);
        }
        let keys = &mut self.nodes[at].keys;
        let Ok(place) = keys.binary_search(&key) else { return false };
        keys.remove(place);
        let last = keys.is_empty();
        if last && at != ROOT {
            self.tidy(parent, at);
        }
        last
    }

    /// Visits everyone who has subscribed to a prefix of `text`, as often as they have.
    #[inline]
    pub(crate) fn visit(&self, text: &[u8], mut visit: impl FnMut(K)) {
        let mut next = Some((ROOT, text));
        while let Some((at, rest)) = next {
            self.nodes[at].keys.iter().for_each(|key| visit(*key));
            next = self.step(at, rest);
        }
    }

    /// Where in the tree a text ends up: the same people want texts with the same place, until the next change.
    #[inline]
    pub(crate) fn place_of(&self, text: &[u8]) -> usize {
        let (mut at, mut rest) = (ROOT, text);
        while let Some(next) = self.step(at, rest) {
            (at, rest) = next;
        }
        at
    }

    /// Whether anyone has subscribed to a prefix of `text`.
    #[inline]
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let mut next = Some((ROOT, text));
        while let Some((at, rest)) = next {
            if !self.nodes[at].keys.is_empty() {
                return true;
            }
            next = self.step(at, rest);
        }
        false
    }

    /// Whether anyone has subscribed to exactly this topic.
    pub(crate) fn contains(&self, topic: &[u8]) -> bool {
        let (mut at, mut rest) = (ROOT, topic);
        while !rest.is_empty() {
            let Some(next) = self.step(at, rest) else { return false };
            (at, rest) = next;
        }
        !self.nodes[at].keys.is_empty()
    }

    /// The child with which a text goes on, and what is left of the text there.
    #[inline]
    fn step<'t>(&self, at: usize, rest: &'t [u8]) -> Option<(usize, &'t [u8])> {
        let place = self.child(at, *rest.first()?).ok()?;
        let child = self.nodes[at].children[place].1;
        Some((child, rest.strip_prefix(&self.nodes[child].label[..])?))
    }

    fn child(&self, at: usize, first: u8) -> Result<usize, usize> {
        self.nodes[at].children.binary_search_by_key(&first, |(byte, _)| *byte)
    }

    fn add(&mut self, node: Node<K>) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.nodes[index] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    fn link(&mut self, at: usize, first: u8, node: usize) {
        if let Err(place) = self.child(at, first) {
            self.nodes[at].children.insert(place, (first, node));
        }
    }

    /// Puts a node between `at` and its child, which takes the first `length` bytes of the child's label.
    fn split(&mut self, at: usize, place: usize, length: usize) -> usize {
        let (first, child) = self.nodes[at].children[place];
        let rest = self.nodes[child].label.split_off(length);
        let label = std::mem::replace(&mut self.nodes[child].label, rest);
        let below = (self.nodes[child].label[0], child);
        let between = self.add(Node { label, keys: Vec::new(), children: vec![below] });
        self.nodes[at].children[place] = (first, between);
        between
    }

    /// After the last key of `at` has gone: removes the node, or joins it with its only child; its parent too.
    fn tidy(&mut self, parent: usize, at: usize) {
        match self.nodes[at].children[..] {
            [] => {
                let first = self.nodes[at].label[0];
                if let Ok(place) = self.child(parent, first) {
                    self.nodes[parent].children.remove(place);
                }
                self.release(at);
                if parent != ROOT && self.nodes[parent].keys.is_empty() {
                    self.join(parent);
                }
            }
            _ => self.join(at),
        }
    }

    /// Joins a node without keys with its child, if it has only one.
    fn join(&mut self, at: usize) {
        let [(_, child)] = self.nodes[at].children[..] else { return };
        let below = std::mem::replace(
            &mut self.nodes[child],
            Node { label: Vec::new(), keys: Vec::new(), children: Vec::new() },
        );
        let node = &mut self.nodes[at];
        node.label.extend_from_slice(&below.label);
        node.keys = below.keys;
        node.children = below.children;
        self.free.push(child);
    }

    fn release(&mut self, at: usize) {
        self.nodes[at] = Node { label: Vec::new(), keys: Vec::new(), children: Vec::new() };
        self.free.push(at);
    }
}

fn common_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn visited(subscriptions: &Subscriptions<u8>, text: &str) -> Vec<u8> {
        let mut keys = Vec::new();
        subscriptions.visit(text.as_bytes(), |key| keys.push(key));
        keys
    }

    #[test]
    fn the_example_of_the_docs_holds() {
        let mut subscriptions = Subscriptions::new();
        assert!(subscriptions.insert(b"", 1) && subscriptions.insert(b"news.a", 1));
        assert!(subscriptions.insert(b"news.b", 2));
        assert_eq!(visited(&subscriptions, "news.all"), [1, 1]);
        assert_eq!(visited(&subscriptions, "news.b"), [1, 2]);
        assert_eq!(visited(&subscriptions, "news."), [1]);
        assert_eq!(visited(&subscriptions, ""), [1]);
    }

    #[test]
    fn a_subscription_is_there_or_not() {
        let mut subscriptions = Subscriptions::new();
        assert!(subscriptions.insert(b"a", 1));
        assert!(!subscriptions.insert(b"a", 1) && !subscriptions.insert(b"a", 2));
        assert!(!subscriptions.remove(b"a", 1));
        assert!(subscriptions.remove(b"a", 2));
        assert!(
            !subscriptions.remove(b"a", 2)
                && !subscriptions.remove(b"ab", 2)
                && !subscriptions.remove(b"", 2)
        );
    }

    #[test]
    fn thousands_of_topics_each_within_the_next_neither_recur_nor_stay() {
        let mut subscriptions = Subscriptions::new();
        let topic = vec![b'a'; 3000];
        for length in 0..=topic.len() {
            subscriptions.insert(&topic[..length], 1);
        }
        let mut count = 0;
        subscriptions.visit(&topic, |_| count += 1);
        assert_eq!(count, 3001);
        for length in 0..=topic.len() {
            assert!(subscriptions.remove(&topic[..length], 1));
        }
        assert_eq!(subscriptions.nodes.len() - subscriptions.free.len(), 1, "only the root is left");
    }

    proptest! {
        #[test]
        fn it_does_what_a_plain_set_does(
            steps in proptest::collection::vec(("[ab]{0,4}", 0u8..3, any::<bool>()), 0..60),
            text in "[ab]{0,6}",
            other in "[ab]{0,6}",
        ) {
            let mut plain = BTreeSet::new();
            let mut tree = Subscriptions::new();
            for (topic, key, insert) in steps {
                let others = |plain: &BTreeSet<(String, u8)>| plain.iter().any(|(t, _)| *t == topic);
                if insert {
                    let first = !others(&plain);
                    plain.insert((topic.clone(), key));
                    prop_assert_eq!(tree.insert(topic.as_bytes(), key), first);
                } else {
                    let last = plain.remove(&(topic.clone(), key)) && !others(&plain);
                    prop_assert_eq!(tree.remove(topic.as_bytes(), key), last);
                }
            }
            let mut expected: Vec<u8> =
                plain.iter().filter(|(topic, _)| text.starts_with(topic.as_str())).map(|(_, key)| *key).collect();
            let mut found = visited(&tree, &text);
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(tree.matches(text.as_bytes()), !expected.is_empty());
            prop_assert_eq!(tree.contains(text.as_bytes()), plain.iter().any(|(topic, _)| *topic == text));
            prop_assert_eq!(&found, &expected);
            if tree.place_of(text.as_bytes()) == tree.place_of(other.as_bytes()) {
                let mut as_well = visited(&tree, &other);
                as_well.sort_unstable();
                prop_assert_eq!(as_well, expected);
            }
            // Every node but the root has a key, or parts ways.
            let unused: BTreeSet<usize> = tree.free.iter().copied().collect();
            for (i, node) in tree.nodes.iter().enumerate().filter(|(i, _)| *i != ROOT && !unused.contains(i)) {
                prop_assert!(!node.keys.is_empty() || node.children.len() > 1, "node {}", i);
            }
        }
    }
}
