//! What is sent, first and after each redirect.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE,
    LOCATION, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use orchestratum_core::task::{HttpBody, HttpInput, HttpMethod, check_url};
use orchestratum_store::ClaimedTask;
use url::Url;

use super::error::Error;
use crate::handler::idempotency_key;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What goes along to a server that the task did not name. Of all else, it is not known whether it is a secret.
static HARMLESS: [HeaderName; 9] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    IDEMPOTENCY_KEY,
    TRACE_PARENT,
    USER_AGENT,
];

pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    /// The headers of the worker, then those of the task, which may say otherwise.
    pub(super) fn of(task: &ClaimedTask, input: &HttpInput) -> Self {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            // Checked where the input was read; and what the worker sets is plain.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(ACCEPT, "*/*");
        set(ACCEPT_ENCODING, "gzip");
        set(USER_AGENT, concat!("orchestratum/", env!("CARGO_PKG_VERSION")));
        set(IDEMPOTENCY_KEY, &idempotency_key(task.id, task.run));
        if let Some(trace) = &task.origin.trace_parent {
            set(TRACE_PARENT, trace.as_str());
        }
        let body = match &input.body {
            HttpBody::None => Bytes::new(),
            HttpBody::Text(text) => {
                set(CONTENT_TYPE, "text/plain; charset=utf-8");
                Bytes::copy_from_slice(text.as_bytes())
            }
            HttpBody::Json(json) => {
                set(CONTENT_TYPE, "application/json");
                Bytes::copy_from_slice(json.as_str().as_bytes())
            }
        };
        for (name, value) in &input.headers {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                set(name, value);
            }
        }
        Self {
            method: method(input.method),
            url: input.url.clone(),
            headers,
            body,
        }
    }

    /// The host with the port.
    pub(super) fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default();
        port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(super) fn request(&self) -> Result<http::Request<Full<Bytes>>, Error> {
        let uri: Uri = self.url.as_str().parse().map_err(|_| Error::Unsendable)?;
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// Where an answer sends the request, as browsers understand it; `None` where it does not.
    pub(super) fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let asks_again = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = headers.get(LOCATION).filter(|_| asks_again) else {
            return Ok(None);
        };
        let mut url = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| self.url.join(location).ok())
            .ok_or(Error::RedirectedNowhere)?;
        url.set_fragment(None);
        check_url(&url).map_err(Error::RedirectedAstray)?;
        if self.url.scheme() == "https" && url.scheme() != "https" {
            return Err(Error::RedirectedToPlain);
        }
        let mut next = Self {
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            url,
        };
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            next.method = Method::GET;
            next.body = Bytes::new();
            for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE] {
                next.headers.remove(name);
            }
        }
        if next.url.origin() != self.url.origin() {
            let kept = |name: &HeaderName| Some((name.clone(), next.headers.get(name)?.clone()));
            next.headers = HARMLESS.iter().filter_map(kept).collect();
        }
        Ok(Some(next))
    }
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Options => Method::OPTIONS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(method: Method, url: &str) -> Outgoing {
        let headers = [
            ("authorization", "secret"),
            ("cookie", "secret"),
            ("x-api-key", "secret"),
            ("accept", "text/html"),
            ("content-type", "text/plain"),
            ("idempotency-key", "1"),
        ];
        Outgoing {
            method,
            url: url.parse().expect("a URL"),
            headers: headers
                .into_iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
            body: Bytes::from_static(b"body"),
        }
    }

    fn redirected(from: &Outgoing, status: u16, location: &'static str) -> Result<Option<Outgoing>, Error> {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
        from.redirected(StatusCode::from_u16(status).expect("a status"), &headers)
    }

    fn names(outgoing: &Outgoing) -> Vec<&str> {
        let mut names: Vec<&str> = outgoing.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_redirect_keeps_or_changes_the_method_as_browsers_do() {
        for (method, status, expected) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::POST, 303, Method::GET),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
            (Method::PUT, 302, Method::PUT),
            (Method::PUT, 303, Method::GET),
            (Method::HEAD, 303, Method::HEAD),
            (Method::GET, 301, Method::GET),
        ] {
            let next = redirected(&outgoing(method.clone(), "http://a.example/x/y"), status, "../z?q#f");
            let next = next.expect("it leads somewhere").expect("it is one");
            assert_eq!(
                (&next.method, next.url.as_str()),
                (&expected, "http://a.example/z?q"),
                "{method} {status}"
            );
            let has_body = method == expected;
            assert_eq!(next.body.is_empty(), !has_body, "{method} {status}");
            assert_eq!(next.headers.contains_key("content-type"), has_body, "{method} {status}");
            assert!(next.headers.contains_key("authorization"), "the same server");
        }
    }

    #[test]
    fn another_scheme_host_or_port_gets_nothing_that_may_be_secret_and_neither_does_the_first_one_again() {
        let harmless = ["accept", "content-type", "idempotency-key"];
        for location in [
            "https://a.example/",
            "http://b.example/",
            "http://a.example:81/",
            "http://sub.a.example/",
            "//b.example/",
        ] {
            let next = redirected(&outgoing(Method::PUT, "http://a.example/"), 307, location);
            let next = next.expect("it leads somewhere").expect("it is one");
            assert_eq!(names(&next), harmless, "{location}");
            let back = redirected(&next, 307, "//a.example/").expect("it leads somewhere");
            assert_eq!(names(&back.expect("it is one")), harmless, "{location}");
        }
        let same = redirected(
            &outgoing(Method::PUT, "http://a.example/"),
            307,
            "http://A.example:80/z",
        );
        assert!(names(&same.expect("it leads somewhere").expect("it is one")).contains(&"authorization"));
    }

    #[test]
    fn a_redirect_from_https_to_http_is_refused_whatever_is_sent() {
        for (method, status) in [(Method::POST, 307), (Method::POST, 303), (Method::GET, 302)] {
            for location in ["http://a.example/", "http://b.example/"] {
                let refused = redirected(&outgoing(method.clone(), "https://a.example/"), status, location);
                assert!(matches!(refused, Err(Error::RedirectedToPlain)), "{method} {status}");
            }
            let secure = redirected(&outgoing(method.clone(), "https://a.example/"), status, "//b.example/");
            let secure = secure.expect("it leads somewhere").expect("it is one");
            assert_eq!(secure.url.as_str(), "https://b.example/");
        }
    }

    #[test]
    fn a_redirect_to_what_is_no_plain_url_is_refused() {
        for location in [
            "file:///etc/passwd",
            "gopher://a.example/",
            "http://user:password@a.example/",
            "//user@a.example/",
            "http://",
            "http://a.example:99999/",
            "data:text/plain,a",
        ] {
            assert!(
                redirected(&outgoing(Method::GET, "http://a.example/"), 302, location).is_err(),
                "{location}"
            );
        }
    }

    #[test]
    fn other_answers_are_no_redirects() {
        for status in [200, 300, 304, 305, 306, 404] {
            let next = redirected(&outgoing(Method::GET, "http://a.example/"), status, "/x");
            assert!(next.expect("it is fine").is_none(), "{status}");
        }
        let next = outgoing(Method::GET, "http://a.example/").redirected(StatusCode::FOUND, &HeaderMap::new());
        assert!(next.expect("it is fine").is_none(), "without a place");
    }
}
