//! From when until when.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use crate::error::Error;

/// From when until when a certificate is valid.
///
/// ```
/// # use certgen::Validity;
/// assert_eq!(Validity::LEAF, Validity::Days(397));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From one hour ago, since clocks differ, for so many days from now.
    Days(u32),
    /// Between two moments, to the second.
    Between {
        /// The first moment.
        not_before: SystemTime,
        /// The last moment.
        not_after: SystemTime,
    },
}

impl Validity {
    /// The default of a leaf: 397 days, the most that browsers take.
    pub const LEAF: Validity = Validity::Days(397);

    /// The default of an authority: ten years.
    pub const AUTHORITY: Validity = Validity::Days(3653);

    /// The default of the cables network: 18300 days, about fifty years.
    pub const CABLES: Validity = Validity::Days(18_300);

    /// The two moments, if this is now.
    pub(crate) fn resolve(self, now: SystemTime) -> Result<(OffsetDateTime, OffsetDateTime), Error> {
        let (not_before, not_after) = match self {
            Validity::Days(0) => {
                return Err(Error::Config("a certificate is valid for 1 day or more".into()));
            }
            Validity::Days(days) => {
                let lifetime = Duration::from_secs(u64::from(days) * DAY);
                (now.checked_sub(CLOCK_DIFFERENCE), now.checked_add(lifetime))
            }
            Validity::Between { not_before, not_after } => (Some(not_before), Some(not_after)),
        };
        let too_far = || Error::Config("a certificate ends before the year 10000: ask for fewer days".into());
        let moments = not_before.and_then(to_date).zip(not_after.and_then(to_date));
        let (not_before, not_after) = moments.ok_or_else(too_far)?;
        if not_after <= not_before {
            return Err(Error::Config("a certificate begins before it ends".into()));
        }
        Ok((not_before, not_after))
    }
}

/// The day and minute for people, in UTC: `2027-12-27 00:49 UTC`.
pub fn display_minute(time: SystemTime) -> String {
    to_date(time).map_or_else(
        || "beyond the year 9999".to_owned(),
        |date| {
            let (month, day) = (u8::from(date.month()), date.day());
            format!("{:04}-{month:02}-{day:02} {:02}:{:02} UTC", date.year(), date.hour(), date.minute())
        },
    )
}

/// The day for people, in UTC: `2027-12-27`.
pub fn display_day(time: SystemTime) -> String {
    display_minute(time).chars().take(10).collect()
}

/// A time in days for people: `396 days`, `1 day`, `less than a day`.
pub fn display_days(time: Duration) -> String {
    match time.as_secs() / DAY {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Whole days from one moment to a later one; 0 if it is not later.
pub(crate) fn days_between(from: SystemTime, until: SystemTime) -> u64 {
    until.duration_since(from).map_or(0, |time| time.as_secs() / DAY)
}

/// For how many days a certificate was asked for that is valid between these moments: at least one.
pub(crate) fn days_of(not_before: SystemTime, not_after: SystemTime) -> u32 {
    u32::try_from(days_between(not_before, not_after)).unwrap_or(u32::MAX).max(1)
}

pub(crate) fn to_date(time: SystemTime) -> Option<OffsetDateTime> {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok()?,
        Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
    };
    // The library's range is that of the years of four digits, as a certificate's is.
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

pub(crate) fn from_seconds(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

const DAY: u64 = 24 * 60 * 60;
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_now_and_begin_an_hour_ago() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (not_before, not_after) = Validity::Days(2).resolve(now).unwrap();
        assert_eq!(not_before.unix_timestamp(), 1_800_000_000 - 3600);
        assert_eq!(not_after.unix_timestamp(), 1_800_000_000 + 2 * 86_400);
    }

    #[test]
    fn what_no_certificate_can_hold_is_refused() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert!(Validity::Days(0).resolve(now).is_err());
        assert!(Validity::Days(u32::MAX).resolve(now).is_err());
        assert!(Validity::Between { not_before: now, not_after: now }.resolve(now).is_err());
    }

    #[test]
    fn moments_are_printed_for_people() {
        assert_eq!(display_minute(UNIX_EPOCH + Duration::from_secs(1_795_567_744)), "2026-11-25 00:49 UTC");
        let days = [0, DAY - 1, DAY, 2 * DAY].map(|seconds| display_days(Duration::from_secs(seconds)));
        assert_eq!(days, ["less than a day", "less than a day", "1 day", "2 days"]);
    }
}
