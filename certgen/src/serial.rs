//! Serial numbers.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The serial number of a certificate: up to 20 bytes, unique for its authority (RFC 5280 Section 4.1.2.2).
///
/// It is printed in hexadecimal, as `openssl x509 -serial` does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// 128 random bits: nobody can foresee it, and no record is needed to keep it unique.
    pub(crate) fn random() -> Result<SerialNumber, Error> {
        SerialNumber::random_bytes::<16>()
    }

    /// 159 random bits, which always take 20 bytes, as the serials of the cables network do.
    pub(crate) fn random_of_twenty_bytes() -> Result<SerialNumber, Error> {
        let SerialNumber(mut bytes) = SerialNumber::random_bytes::<20>()?;
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Ok(SerialNumber(bytes))
    }

    /// As it is in a certificate; zeros in front do not count.
    pub(crate) fn from_der(bytes: &[u8]) -> SerialNumber {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        SerialNumber(bytes[first..].to_vec())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn random_bytes<const LENGTH: usize>() -> Result<SerialNumber, Error> {
        let mut bytes = [0; LENGTH];
        let filled = aws_lc_rs::rand::fill(&mut bytes);
        filled.map_err(|_| Error::Config("the system has no random numbers".into()))?;
        // A first byte of zero would be left out in the encoding, and make two ways to write one number.
        bytes[0] |= u8::from(bytes[0] == 0);
        Ok(SerialNumber(bytes.to_vec()))
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl FromStr for SerialNumber {
    type Err = Error;

    /// Takes hexadecimal digits, with or without colons between them.
    fn from_str(text: &str) -> Result<SerialNumber, Error> {
        let digits: Vec<char> = text.chars().filter(|character| *character != ':').collect();
        let wrong =
            || Error::Config(format!("{text:?} is not a serial number: it has 1 to 40 hexadecimal digits"));
        if digits.is_empty() || digits.len() > 40 {
            return Err(wrong());
        }
        let mut bytes = Vec::with_capacity(20);
        for pair in digits.rchunks(2).rev() {
            let mut byte = 0;
            for digit in pair {
                let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
                byte = byte * 16 + value.ok_or_else(wrong)?;
            }
            bytes.push(byte);
        }
        Ok(SerialNumber::from_der(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_read_as_it_is_printed() {
        for _ in 0..100 {
            let serial = SerialNumber::random().unwrap();
            assert_eq!(serial.to_string().parse::<SerialNumber>().unwrap(), serial);
            assert_eq!(SerialNumber::random_of_twenty_bytes().unwrap().as_bytes().len(), 20);
        }
        assert_eq!("00:0a:FF".parse::<SerialNumber>().unwrap(), SerialNumber(vec![0x0a, 0xff]));
        assert_eq!("aff".parse::<SerialNumber>().unwrap(), SerialNumber(vec![0x0a, 0xff]));
    }

    #[test]
    fn what_is_no_serial_is_refused() {
        for text in ["", "xy", ":", &"1".repeat(41)] {
            assert!(text.parse::<SerialNumber>().is_err(), "{text}");
        }
    }
}
