//! What hostile peers cost every kind of socket in memory: measured by a counting allocator, so all is one test.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::config;
use common::raw::{greeting, joined, read_to_end, saying};
use common::subject::{Kind, Subject};
use peak_alloc::PeakAlloc;
use tokio::io::AsyncWriteExt as _;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What an announcement may cost: a read buffer, and what the good peer's traffic needs.
const MOST_GROWTH: usize = 512 << 10;

#[tokio::test]
async fn no_memory_is_taken_for_what_is_only_announced_before_authentication_or_after() {
    for kind in Kind::ALL {
        let mut subject = Subject::start(kind, config()).await;
        let long = |flags: u8, size: u64| [&[flags][..], &size.to_be_bytes(), &[0; 1000]].concat();
        for size in [1 << 63, u64::MAX, 64 << 30, (16 << 20) + 1, 15 << 20] {
            for authenticated in [false, true] {
                let before = MEMORY.current_usage();
                MEMORY.reset_peak_usage();
                let mut peer = if authenticated {
                    let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
                    let _reset = peer.write_all(&long(0x02, size)).await;
                    peer
                } else {
                    saying(&subject.address, &[greeting("NULL"), long(0x06, size)].concat()).await
                };
                let _reset = peer.shutdown().await;
                if authenticated {
                    subject.departure().await;
                } else {
                    subject.refusal().await;
                }
                read_to_end(&mut peer).await;
                let growth = MEMORY.peak_usage().saturating_sub(before);
                assert!(growth < MOST_GROWTH, "{kind:?}, {size}, {authenticated}: {growth} bytes");
            }
        }
        let before = MEMORY.current_usage();
        let parts = [1, 0].repeat(2_000_000);
        MEMORY.reset_peak_usage();
        let mut peer = joined(&subject.address, kind.peer_type(), b"").await;
        let _reset = peer.write_all(&parts).await;
        assert!(subject.departure().await.to_string().contains("more than 1024 parts"), "{kind:?}");
        let growth = MEMORY.peak_usage().saturating_sub(before + parts.len());
        assert!(growth < MOST_GROWTH, "{kind:?}: {growth} bytes");
        subject.serves().await;
    }
}
