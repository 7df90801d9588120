//! Patterns with `*` and `**` for names in certificates.

/// A pattern in which `*` stands for any characters but the separator, at least one, and `**` for any characters.
#[derive(PartialEq, Eq)]
pub(crate) struct Glob {
    pattern: String,
    separator: u8,
}

impl Glob {
    pub(crate) fn new(pattern: &str, separator: u8) -> Glob {
        Glob { pattern: pattern.to_owned(), separator }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Matches by the set of pattern positions that the text so far can have reached, so that a hostile name costs
    /// at most its length times the pattern's, never more.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let pattern = self.pattern.as_bytes();
        let mut reached = vec![false; pattern.len() + 1];
        reached[0] = true;
        let_double_stars_match_nothing(pattern, &mut reached);
        for &byte in text.as_bytes() {
            let mut next = vec![false; pattern.len() + 1];
            for (at, _) in reached.iter().enumerate().filter(|(_, yes)| **yes) {
                match star_at(pattern, at) {
                    Some(Star::Double) => next[at] = true,
                    Some(Star::Single) if byte != self.separator => {
                        next[at] = true; // may take more
                        next[at + 1] = true;
                    }
                    None if pattern.get(at) == Some(&byte) => next[at + 1] = true,
                    _ => {}
                }
            }
            let_double_stars_match_nothing(pattern, &mut next);
            reached = next;
        }
        reached[pattern.len()]
    }
}

/// `**` may also stand for nothing.
fn let_double_stars_match_nothing(pattern: &[u8], reached: &mut [bool]) {
    for at in 0..pattern.len() {
        if reached[at] && matches!(star_at(pattern, at), Some(Star::Double)) {
            reached[at + 2] = true;
        }
    }
}

enum Star {
    Single,
    Double,
}

fn star_at(pattern: &[u8], at: usize) -> Option<Star> {
    match (pattern.get(at), pattern.get(at + 1)) {
        (Some(b'*'), Some(b'*')) => Some(Star::Double),
        (Some(b'*'), _) => Some(Star::Single),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_the_separator_and_double_stars_do_not() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*.x", "a.x", true),
            ("*.x", ".x", false),
            ("*.x", "a.b.x", false),
            ("**.x", "a.b.x", true),
            ("**.x", ".x", true),
            ("a*b", "aab", true),
            ("a*b", "ab", false),
            ("**", "", true),
            ("*", "", false),
            ("*", "a", true),
            ("a**", "a", true),
            ("a**b**c", "a.b.c", true),
            ("a**b**c", "a.c", false),
        ] {
            assert_eq!(Glob::new(pattern, b'.').matches(text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn a_hostile_name_costs_no_more_than_the_product_of_the_lengths() {
        let name = "a".repeat(5000);
        assert!(Glob::new(&"a**".repeat(50), b'.').matches(&name));
        assert!(!Glob::new(&("a**".repeat(50) + "b"), b'.').matches(&name));
    }
}
