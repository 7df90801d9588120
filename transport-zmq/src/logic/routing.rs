//! Which peer of a ROUTER has which routing id (RFC 28/REQREP).

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use transport_core::Identity;

/// When a new peer gets a routing id that another one has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// Never: the id stays with its owner, and the new peer is turned away. The default.
    ///
    /// It is so too with a peer that comes back before the end of its old connection is noticed, which takes as long as
    /// [`dead_after`](transport_core::Limits::dead_after) at most. It is turned away before its handshake is over: what it
    /// sends waits with it, if it is of this library or of libzmq.
    #[default]
    Never,
    /// When both have proven to be the same principal: a peer that comes back while its old connection is not noticed to
    /// be dead. Two anonymous peers are never the same.
    ToSamePrincipal,
    /// Always, as `ZMQ_ROUTER_HANDOVER` does.
    ///
    /// # Security
    ///
    /// Whoever may connect can take any other peer's messages over.
    DangerToAnyone,
}

/// Why a peer does not get the routing id that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingIdRefused {
    /// Another connection has it.
    #[error("its routing id is in use")]
    InUse,
    /// Another connection has it, of another principal.
    #[error("its routing id is in use by another principal")]
    AnothersId,
    /// It starts with a zero byte, as those do that this side makes.
    #[error("its routing id starts with a zero byte")]
    Reserved,
}

/// The routing ids of the connected peers.
pub(crate) struct RoutingTable<P> {
    peers: HashMap<Bytes, Entry<P>>,
    handover: Handover,
    next: u32,
}

struct Entry<P> {
    peer: P,
    identity: Identity,
}

impl<P: PartialEq> RoutingTable<P> {
    /// An empty table; ids that it makes count from `start`.
    pub(crate) fn new(handover: Handover, start: u32) -> RoutingTable<P> {
        RoutingTable { peers: HashMap::new(), handover, next: start }
    }

    pub(crate) fn set_handover(&mut self, handover: Handover) {
        self.handover = handover;
    }

    /// Finds an id for a peer that says that it has the id `claimed`, which may be empty.
    ///
    /// The answer is its id; [`take`](RoutingTable::take) puts it in.
    pub(crate) fn find(&mut self, claimed: &[u8], identity: &Identity) -> Result<Bytes, RoutingIdRefused> {
        self.check(claimed, identity)?;
        Ok(if claimed.is_empty() { self.new_id() } else { Bytes::copy_from_slice(claimed) })
    }

    /// Whether a peer that says that it has the id `claimed` gets it, or one if that is empty.
    pub(crate) fn check(&self, claimed: &[u8], identity: &Identity) -> Result<(), RoutingIdRefused> {
        if claimed.first() == Some(&0) {
            return Err(RoutingIdRefused::Reserved);
        }
        let Some(owner) = self.peers.get(claimed) else { return Ok(()) };
        let same = owner.identity == *identity;
        match self.handover {
            Handover::DangerToAnyone => Ok(()),
            Handover::ToSamePrincipal if same => Ok(()),
            Handover::Never if same => Err(RoutingIdRefused::InUse),
            Handover::Never | Handover::ToSamePrincipal => Err(RoutingIdRefused::AnothersId),
        }
    }

    /// Gives an id to a peer, and returns the one that had it.
    pub(crate) fn take(&mut self, id: Bytes, peer: P, identity: Identity) -> Option<P> {
        self.peers.insert(id, Entry { peer, identity }).map(|entry| entry.peer)
    }

    /// The peer with this id.
    #[inline]
    pub(crate) fn peer(&self, id: &[u8]) -> Option<&P> {
        self.peers.get(id).map(|entry| &entry.peer)
    }

    /// Takes a peer out, unless its id has been handed over.
    pub(crate) fn remove(&mut self, id: &[u8], peer: &P) {
        if self.peer(id) == Some(peer) {
            self.peers.remove(id);
        }
    }

    /// As libzmq makes them: a zero byte and a number.
    fn new_id(&mut self) -> Bytes {
        loop {
            let mut id = BytesMut::with_capacity(5);
            id.put_u8(0);
            id.put_u32(self.next);
            self.next = self.next.wrapping_add(1);
            if !self.peers.contains_key(&id[..]) {
                return id.freeze();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport_core::mem::MemTransport;
    use transport_core::test_util::Random;
    use transport_core::{Connect, Listen, Policy, Transports};

    /// Identities are made by core alone: of this process, and of nobody.
    async fn identities() -> (Identity, Identity) {
        let transports =
            Transports::new().with(MemTransport::new()).with(transport_core::tcp::TcpTransport::new());
        let mut found = Vec::new();
        for address in ["mem://a", "tcp://127.0.0.1:0"] {
            let listen = Listen::new(&transports, address).policy(Policy::danger_anyone());
            let mut server = listen.start().await.unwrap();
            let at = server.local_address().clone();
            let _client = Connect::new(&transports, at).server(Policy::danger_anyone()).await.unwrap();
            found.push(server.accept().await.unwrap().identity().clone());
        }
        (found.remove(0), found.remove(0))
    }

    #[tokio::test]
    async fn an_id_in_use_stays_with_its_owner_unless_told_otherwise() {
        let (process, anonymous) = identities().await;
        let id = Bytes::from_static(b"id");
        use Handover::{DangerToAnyone, Never, ToSamePrincipal};
        for (handover, owner, comer, expected) in [
            (Never, &process, &process, Err(RoutingIdRefused::InUse)),
            (Never, &process, &anonymous, Err(RoutingIdRefused::AnothersId)),
            (ToSamePrincipal, &process, &process, Ok(())),
            (ToSamePrincipal, &process, &anonymous, Err(RoutingIdRefused::AnothersId)),
            (ToSamePrincipal, &anonymous, &anonymous, Err(RoutingIdRefused::AnothersId)),
            (DangerToAnyone, &process, &anonymous, Ok(())),
        ] {
            let mut table = RoutingTable::new(handover, 0);
            assert_eq!(table.find(&id, owner).unwrap(), id);
            assert_eq!(table.take(id.clone(), 1, owner.clone()), None);
            assert_eq!(table.check(&id, comer), expected, "{handover:?}");
            if expected.is_ok() {
                assert_eq!(table.take(id.clone(), 2, comer.clone()), Some(1));
                table.remove(&id, &1);
                assert_eq!(table.peer(&id), Some(&2), "the old connection's end takes nothing away");
            }
        }
    }

    #[tokio::test]
    async fn an_id_that_a_peer_does_not_bring_is_made_and_is_like_no_other() {
        let (process, _) = identities().await;
        let mut table = RoutingTable::new(Handover::Never, u32::MAX);
        let ids: Vec<Bytes> = (0..3)
            .map(|peer| {
                let id = table.find(b"", &process).unwrap();
                table.take(id.clone(), peer, process.clone());
                id
            })
            .collect();
        assert_eq!(ids, [&b"\0\xff\xff\xff\xff"[..], b"\0\0\0\0\0", b"\0\0\0\0\x01"]);
        assert_eq!(table.check(&ids[0], &process), Err(RoutingIdRefused::Reserved));
        table.remove(&ids[1], &1);
        assert_eq!((table.peers.len(), table.peer(&ids[1])), (2, None));
    }

    /// Peers come with ids and go in any order: the table says what a plain list of owners says.
    #[tokio::test]
    async fn whoever_comes_and_goes_each_id_has_the_owner_that_the_rules_say() {
        let (process, anonymous) = identities().await;
        let mut random = Random::new(11);
        for round in 0..300 {
            let handover = [Handover::Never, Handover::ToSamePrincipal, Handover::DangerToAnyone][round % 3];
            let mut table = RoutingTable::new(handover, u32::MAX - 3);
            let mut owners: Vec<(Bytes, u32, bool)> = Vec::new();
            for peer in 0..60 {
                if random.chance(40) && !owners.is_empty() {
                    let (id, gone, _) = owners.swap_remove(random.length(0..=owners.len() - 1));
                    table.remove(&id, &gone);
                    assert_eq!(table.peer(&id), None);
                    // Once more, and in the name of one that was never there.
                    table.remove(&id, &gone);
                    table.remove(b"nobody", &gone);
                    continue;
                }
                let known = random.chance(50);
                let identity = if known { &process } else { &anonymous };
                let claimed = [&b""[..], b"a", b"b", b"\0reserved"][random.length(0..=3)];
                let owner = owners.iter().position(|(id, ..)| id == claimed);
                let same = owner.is_some_and(|owner| known && owners[owner].2);
                let expected = match (claimed, owner, handover) {
                    (b"\0reserved", ..) => Err(RoutingIdRefused::Reserved),
                    (_, None, _) | (_, _, Handover::DangerToAnyone) => Ok(()),
                    (.., Handover::ToSamePrincipal) if same => Ok(()),
                    (.., Handover::Never) if same => Err(RoutingIdRefused::InUse),
                    _ => Err(RoutingIdRefused::AnothersId),
                };
                assert_eq!(table.check(claimed, identity), expected, "{handover:?}");
                let found = table.find(claimed, identity);
                assert_eq!(found.clone().map(|_| ()), expected, "{handover:?}");
                let Ok(id) = found else { continue };
                assert!(claimed.is_empty() && id[0] == 0 && id.len() == 5 || id == claimed);
                let before = owner.map(|owner| owners.swap_remove(owner).1);
                assert_eq!(table.take(id.clone(), peer, identity.clone()), before);
                if let Some(before) = before {
                    table.remove(&id, &before);
                }
                owners.push((id, peer, known));
            }
            assert_eq!(table.peers.len(), owners.len());
            assert!(owners.iter().all(|(id, peer, _)| table.peer(id) == Some(peer)));
        }
    }
}
