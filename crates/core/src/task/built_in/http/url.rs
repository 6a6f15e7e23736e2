//! Which URLs a request may have, whoever names them: the task, or a server that redirects.

use ::url::{ParseError, Url};

/// Signed links are long, and no server takes much more.
const URL_MAX_BYTES: usize = 8 * 1024;

/// Which rule a URL breaks. Says nothing of the URL itself: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error("must have at most {URL_MAX_BYTES} bytes")]
    TooLong,
    #[error("must not hold a control character, nor begin or end with a space")]
    Unseen,
    #[error("is no absolute URL: {0}")]
    Malformed(ParseError),
    #[error("must begin with http:// or https://")]
    Scheme,
    #[error("must not hold a user or a password: the header `authorization` is for them")]
    Credentials,
}

/// A URL as a browser understands it. A fragment is not part of what is sent.
pub(super) fn read(text: &str) -> Result<Url, InvalidUrl> {
    if text.len() > URL_MAX_BYTES {
        return Err(InvalidUrl::TooLong);
    }
    // The parser would drop them without a word.
    if text.contains(char::is_control) || text.trim() != text {
        return Err(InvalidUrl::Unseen);
    }
    let mut url = Url::parse(text).map_err(InvalidUrl::Malformed)?;
    url.set_fragment(None);
    check_url(&url)?;
    Ok(url)
}

/// # Errors
/// The first rule that it breaks.
pub fn check_url(url: &Url) -> Result<(), InvalidUrl> {
    if url.as_str().len() > URL_MAX_BYTES {
        return Err(InvalidUrl::TooLong);
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidUrl::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl::Credentials);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_of_the_web_are_taken() {
        for (text, expected) in [
            ("http://example.com", Ok("http://example.com/")),
            (
                "HTTPS://EXAMPLE.com:8443/ä b?c=d|e#f",
                Ok("https://example.com:8443/%C3%A4%20b?c=d|e"),
            ),
            ("https://пример.рф/", Ok("https://xn--e1afmkfd.xn--p1ai/")),
            ("http://@example.com/", Ok("http://example.com/")),
            ("http:\\\\example.com\\a", Ok("http://example.com/a")),
            ("ftp://example.com", Err(InvalidUrl::Scheme)),
            ("file:///etc/passwd", Err(InvalidUrl::Scheme)),
            ("gopher://example.com", Err(InvalidUrl::Scheme)),
            ("javascript:alert(1)", Err(InvalidUrl::Scheme)),
            (
                "example.com",
                Err(InvalidUrl::Malformed(ParseError::RelativeUrlWithoutBase)),
            ),
            ("/path", Err(InvalidUrl::Malformed(ParseError::RelativeUrlWithoutBase))),
            ("http://", Err(InvalidUrl::Malformed(ParseError::EmptyHost))),
            ("http://a:99999/", Err(InvalidUrl::Malformed(ParseError::InvalidPort))),
            ("http://user@example.com", Err(InvalidUrl::Credentials)),
            ("http://:password@example.com", Err(InvalidUrl::Credentials)),
            ("http://example.com@127.0.0.1/", Err(InvalidUrl::Credentials)),
            ("http://exa\nmple.com", Err(InvalidUrl::Unseen)),
            ("http://example.com/\r\nHost: b", Err(InvalidUrl::Unseen)),
            (" http://example.com", Err(InvalidUrl::Unseen)),
        ] {
            assert_eq!(
                read(text).as_ref().map(Url::as_str).map_err(|error| *error),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_length_counts_as_it_is_sent() {
        let url = |length: usize, letter: &str| format!("http://a.example/{}", letter.repeat(length));
        assert!(read(&url(URL_MAX_BYTES - 17, "a")).is_ok());
        assert_eq!(read(&url(URL_MAX_BYTES - 16, "a")), Err(InvalidUrl::TooLong));
        assert_eq!(
            read(&url(URL_MAX_BYTES / 4, "é")),
            Err(InvalidUrl::TooLong),
            "each byte takes three"
        );
    }
}
