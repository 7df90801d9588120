//! The header of a frame (RFC 37/ZMTP, section "Framing").

use crate::write_buffer::WriteBuffer;

pub(super) const MORE: u8 = 0x01;
pub(super) const LONG: u8 = 0x02;
pub(super) const COMMAND: u8 = 0x04;

/// A frame's header as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flags: u8,
    /// Bytes that the header itself takes.
    pub(super) length: usize,
    /// Bytes that the body is announced to take: a claim of the peer, not yet checked.
    pub(super) body: u64,
}

impl Header {
    /// Reads the header at the front of `bytes`; `None` when it is not complete.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        let (&flags, rest) = bytes.split_first()?;
        if flags & LONG == 0 {
            return rest.first().map(|&size| Header { flags, length: 2, body: u64::from(size) });
        }
        let size = rest.first_chunk::<8>()?;
        Some(Header { flags, length: 9, body: u64::from_be_bytes(*size) })
    }
}

/// Writes a header and makes room for a body of `body` bytes that will be copied behind it.
#[inline]
pub(super) fn put_header(flags: u8, body: usize, out: &mut WriteBuffer) {
    match u8::try_from(body) {
        Ok(size) => out.put_slice(&[flags, size]),
        Err(_) => {
            let mut header = [0; 9];
            header[0] = flags | LONG;
            header[1..].copy_from_slice(&(body as u64).to_be_bytes());
            out.put_slice(&header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_is_written() {
        for body in [0, 1, 255, 256, 65_536] {
            let mut out = WriteBuffer::new();
            put_header(MORE, body, &mut out);
            let bytes = out.to_vec();
            let header = Header::read(&bytes).unwrap();
            assert_eq!((header.body, header.length), (body as u64, bytes.len()));
            assert_eq!(header.flags & !LONG, MORE);
            for cut in 0..bytes.len() {
                assert_eq!(Header::read(&bytes[..cut]), None);
            }
        }
    }
}
