//! What the ZMTP framing costs without a socket: encoding, and the three ways of decoding.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench, not an API")]

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use transport::core::framing::zmtp::Zmtp;
use transport::core::framing::{Event, FramingFactory as _, Halves};
use transport::core::{Role, WriteBuffer};
use transport::{Limits, Message};

fn halves() -> Halves {
    let limits = Limits::default();
    Zmtp::new().framing(Role::Server, &["NULL"], &limits).into_halves(None, &limits, Instant::now()).unwrap()
}

/// As many messages of one size as a full read buffer has.
fn encoded(size: usize) -> (u64, BytesMut) {
    let count = (256 << 10) / (size + 9);
    let message = Message::new(vec![7; size]);
    let mut out = WriteBuffer::new();
    let mut halves = halves();
    for _ in 0..count {
        halves.encoder.encode((&message).into(), &mut out).unwrap();
    }
    (count as u64, BytesMut::from(&out.to_vec()[..]))
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in [64, 1024, 65_536] {
        let message = Bytes::from(vec![7; size]);
        group.throughput(Throughput::Elements(1000));
        group.bench_function(size.to_string(), |b| {
            let mut halves = halves();
            b.iter_batched_ref(
                WriteBuffer::new,
                |out| {
                    for _ in 0..1000 {
                        halves.encoder.encode(black_box(&message).into(), out).unwrap();
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for size in [64, 1024, 65_536] {
        let (count, bytes) = encoded(size);
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("one/{size}"), |b| {
            let mut halves = halves();
            let one = |input: &mut BytesMut| {
                while let Some(Event::Message(message)) = halves.decoder.decode(input).unwrap() {
                    black_box(&message);
                }
            };
            b.iter_batched_ref(|| bytes.clone(), one, BatchSize::LargeInput);
        });
        group.bench_function(format!("many/{size}"), |b| {
            let mut halves = halves();
            let mut messages = Vec::new();
            let many = |input: &mut BytesMut| {
                halves.decoder.decode_many(input, &mut messages, usize::MAX).unwrap();
                black_box(&messages);
                messages.clear();
            };
            b.iter_batched_ref(|| bytes.clone(), many, BatchSize::LargeInput);
        });
        group.bench_function(format!("each/{size}"), |b| {
            let mut halves = halves();
            let each = |input: &mut BytesMut| {
                halves.decoder.decode_each(input, &mut |message| _ = black_box(message)).unwrap();
            };
            b.iter_batched_ref(|| bytes.clone(), each, BatchSize::LargeInput);
        });
    }
}

criterion_group!(framing, encode, decode);
criterion_main!(framing);
