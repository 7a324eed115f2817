//! Times that people read: RFC 3339, UTC, milliseconds.

use tertulia_protocol::time::Timestamp;

/// `2026-02-03T04:05:06.789Z`. Microseconds are cut, not rounded, so that the text never lies ahead of the stamp.
pub fn format(at: Timestamp) -> String {
    let millis = at.0 / 1_000;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01 a leap day is the last day of its year, and every era of 400 years has the same length.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> String {
        format(Timestamp(seconds * 1_000_000))
    }

    #[test]
    fn known_moments_are_written_as_everyone_writes_them() {
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(951_868_799), "2000-02-29T23:59:59.000Z");
        assert_eq!(at(1_000_000_000), "2001-09-09T01:46:40.000Z");
        assert_eq!(at(1_709_164_800), "2024-02-29T00:00:00.000Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59.000Z");
        // 2100 is no leap year.
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn milliseconds_are_cut_and_not_rounded() {
        assert_eq!(format(Timestamp(1_999_999)), "1970-01-01T00:00:01.999Z");
        assert_eq!(format(Timestamp(7_999)), "1970-01-01T00:00:00.007Z");
    }

    #[test]
    fn texts_sort_as_their_moments_do() {
        let texts: Vec<_> = (0..2_000).map(|n| at(n * 1_234_567)).collect();
        assert!(texts.is_sorted());
    }

    #[test]
    fn every_day_of_400_years_follows_the_one_before() {
        for day in 1..146_097 {
            let (year, month, date) = civil(day);
            let (before_year, before_month, before_date) = civil(day - 1);
            let next_date = (year, month) == (before_year, before_month) && date == before_date + 1;
            let next_month = year == before_year && month == before_month + 1 && date == 1;
            let next_year = year == before_year + 1 && month == 1 && before_month == 12 && date == 1;
            assert!(next_date || next_month || next_year, "day {day}");
        }
    }
}
