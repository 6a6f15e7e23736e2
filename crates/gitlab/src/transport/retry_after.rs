//! How long somebody asks us to wait.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Longer than any call waits; what asks for more is treated as this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Seconds, or a moment. A moment is held against the `Date` of the same answer: one clock, which need not be right.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    let asked = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let until = DateTime::parse_from_rfc2822(asked).ok()?;
    let now = DateTime::parse_from_rfc2822(text(headers, &DATE)?).ok()?;
    // One that has passed asks for nothing.
    Some((until - now).to_std().unwrap_or_default().min(LONGEST))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn asked(retry_after: &'static str, date: Option<&'static str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        read(&headers)
    }

    #[test]
    fn seconds_and_moments_are_read() {
        const NOW: Option<&str> = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asked("7", None), seconds(7));
        assert_eq!(asked(" 0 ", None), seconds(0));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:07 GMT", NOW), seconds(30));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT", NOW), seconds(0));
        assert_eq!(asked("99999999999", None), Some(LONGEST));
    }

    #[test]
    fn what_cannot_be_read_asks_for_nothing() {
        assert_eq!(read(&HeaderMap::new()), None);
        for text in ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(asked(text, None), None, "{text}");
        }
    }
}
