//! `Retry-After` (RFC 9110, 10.2.3): how long a server asks to be left alone.

use core::time::Duration;

use phi_types::Timestamp;

/// The wait that the header `Retry-After` names: seconds, or a date, of which the answer's own `Date` is taken away, so that
/// the clock of this machine does not matter. `None` for a date without a `Date`, and for the two obsolete forms of dates.
pub(super) fn wait(retry_after: Option<&str>, date: Option<&str>) -> Option<Duration> {
    let retry_after = retry_after?.trim();
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(instant(retry_after)?.saturating_since(instant(date?.trim())?))
}

/// An `IMF-fixdate`: `Wed, 21 Oct 2026 07:28:00 GMT`.
fn instant(date: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split_once(", ")?.1.split(' ');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let (time, zone) = (parts.next()?, parts.next()?);
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Wed, 21 Oct 2026 07:28:00 GMT";

    #[test]
    fn a_wait_is_seconds_or_a_date_less_the_date_of_the_answer() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let table = [
            ("0", None, seconds(0)),
            (" 7 ", None, seconds(7)),
            ("7", Some(NOW), seconds(7)),
            ("Wed, 21 Oct 2026 07:28:09 GMT", Some(NOW), seconds(9)),
            ("Thu, 22 Oct 2026 07:28:00 GMT", Some(NOW), seconds(86_400)),
            ("Fri, 01 Jan 2027 00:00:00 GMT", Some("Thu, 31 Dec 2026 23:59:30 GMT"), seconds(30)),
            // A date that is past: no wait is asked for.
            ("Wed, 21 Oct 2026 07:27:00 GMT", Some(NOW), seconds(0)),
            ("Wed, 21 Oct 2026 07:28:09 GMT", None, None),
            ("Wed, 21 Oct 2026 07:28:09 GMT", Some("today"), None),
            ("Wed, 21 Oct 2026 07:28:09 CET", Some(NOW), None),
            ("Wed, 21 Oct 2026 07:28:09 GMT x", Some(NOW), None),
            ("Wed, 31 Feb 2026 07:28:09 GMT", Some(NOW), None),
            ("Wednesday, 21-Oct-26 07:28:09 GMT", Some(NOW), None),
            ("Wed Oct 21 07:28:09 2026", Some(NOW), None),
            ("-1", None, None),
            ("1.5", None, None),
            ("soon", Some(NOW), None),
            ("", Some(NOW), None),
        ];
        for (retry_after, date, expected) in table {
            assert_eq!(wait(Some(retry_after), date), expected, "{retry_after} {date:?}");
        }
        assert_eq!(wait(None, Some(NOW)), None);
    }
}
