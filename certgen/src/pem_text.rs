//! PEM in which single sections change, and nothing else.

use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;
use crate::pem::{self, PemFile, PemSection};

/// A PEM text of which some sections can be replaced, while all the rest stays as it is, byte for byte: other sections, also of
/// unknown kinds, what stands between them, and their order.
///
/// # Examples
///
/// ```
/// # use certgen::{PemSection, PemText, LeafConfig, self_signed};
/// # fn main() -> Result<(), certgen::Error> {
/// # let (old, new) = (self_signed(&LeafConfig::default())?, self_signed(&LeafConfig::default())?);
/// let text = PemText::from(format!("# the web server\n{}", old.certificate().pem()).as_bytes());
/// let text = text.replaced(|section| match section {
///     PemSection::Certificate(_) => Some(new.certificate().pem().into()),
///     _ => None,
/// })?;
/// assert_eq!(*text, format!("# the web server\n{}", new.certificate().pem()).as_bytes());
/// # Ok(()) }
/// ```
pub struct PemText {
    bytes: Zeroizing<Vec<u8>>,
}

impl PemText {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is larger than 1 MiB.
    pub fn read(path: impl AsRef<Path>) -> Result<PemText, Error> {
        Ok(PemText { bytes: pem::read_bounded(path.as_ref())? })
    }

    /// What it has.
    ///
    /// # Errors
    ///
    /// As [`PemFile::parse`].
    pub fn parse(&self) -> Result<PemFile, Error> {
        PemFile::parse(&self.bytes)
    }

    /// The text with other PEM in the place of the sections for which there is one.
    ///
    /// # Errors
    ///
    /// When something that is known is malformed.
    pub fn replaced(
        &self,
        with: impl Fn(&PemSection) -> Option<Zeroizing<String>>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let sections = pem::sections(&self.bytes)?;
        let new: Vec<_> = sections.iter().filter_map(|(section, at)| Some((with(section)?, at))).collect();
        // All of it at once: a buffer that grows leaves its old copies behind.
        let room = self.bytes.len() + new.iter().map(|(pem, _)| pem.len()).sum::<usize>();
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        let mut done = 0;
        for (pem, at) in new {
            text.extend_from_slice(&self.bytes[done..at.start]);
            // The end of its last line is there already.
            text.extend_from_slice(pem.trim_end().as_bytes());
            done = at.end;
        }
        text.extend_from_slice(&self.bytes[done..]);
        Ok(text)
    }
}

impl From<&[u8]> for PemText {
    fn from(bytes: &[u8]) -> PemText {
        PemText { bytes: Zeroizing::new(bytes.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeafConfig, self_signed};

    #[test]
    fn only_what_is_replaced_changes_however_lines_end() {
        let made = [(); 3].map(|()| self_signed(&LeafConfig::new(["a"]).unwrap()).unwrap());
        let [first, second, new] = made.each_ref().map(|made| made.certificate().pem().trim_end().to_owned());
        let unknown = "-----BEGIN X-----\nAAAA\n-----END X-----";
        let lines = [&first, unknown, "this is no -----BEGIN of a section", &second];
        for end in ["\n", "\r\n", "\r", "\n\n"] {
            for last in ["", end, "\nthe end"] {
                let text = lines.join(end) + last;
                let parsed = PemText::from(text.as_bytes());
                let replaced = parsed.replaced(|section| match section {
                    PemSection::Certificate(found) if found == made[1].certificate() => {
                        Some(new.clone().into())
                    }
                    _ => None,
                });
                assert_eq!(*replaced.unwrap(), text.replace(&second, &new).as_bytes());
                assert_eq!(*parsed.replaced(|_| None).unwrap(), text.as_bytes());
            }
        }
    }
}
