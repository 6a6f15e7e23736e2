//! What an `http` task takes.

mod headers;
mod statuses;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use ::url::Url;
use serde_json::value::RawValue;

use super::fields::Fields;
use crate::json::JsonText;
use crate::task::rules::Violations;

pub use statuses::ExpectedStatuses;
pub use url::{InvalidUrl, check_url};

/// A request that somebody else's server is to answer.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpInput {
    pub method: HttpMethod,
    pub url: Url,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: HttpBody,
    pub expected_statuses: ExpectedStatuses,
    pub follow_redirects: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

#[derive(Clone, PartialEq, Eq)]
pub enum HttpBody {
    None,
    /// Sent as it is.
    Text(String),
    /// Sent as `application/json`.
    Json(JsonText),
}

impl HttpInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        const FIELDS: &[&str] = &[
            "method",
            "url",
            "headers",
            "body",
            "expected_statuses",
            "follow_redirects",
        ];
        let mut fields = Fields::of(input, &[FIELDS]);
        let method = method(&mut fields);
        let url = target(&mut fields);
        let headers = headers::read(&mut fields, "headers");
        let body = body(&mut fields, method);
        let expected_statuses = statuses::read(&mut fields, "expected_statuses");
        let follow_redirects = fields.flag_or("follow_redirects", true);
        // Where there is none, the fields know why.
        let Some(url) = url else { return Err(fields.broken()) };
        fields.finish(Self {
            method,
            url,
            headers,
            body,
            expected_statuses,
            follow_redirects,
        })
    }
}

fn target(fields: &mut Fields<'_>) -> Option<Url> {
    if fields.is_absent("url") {
        fields.required_text("url");
        return None;
    }
    match url::read(&fields.text("url")?) {
        Ok(url) => Some(url),
        Err(invalid) => {
            fields.refuse("url", &invalid.to_string());
            None
        }
    }
}

fn method(fields: &mut Fields<'_>) -> HttpMethod {
    let Some(text) = fields.text("method") else {
        return HttpMethod::Get;
    };
    HttpMethod::of(&text).unwrap_or_else(|| {
        let all = HttpMethod::ALL.map(HttpMethod::as_str).join(", ");
        fields.refuse("method", &format!("must be one of {all}"));
        HttpMethod::Get
    })
}

fn body(fields: &mut Fields<'_>, method: HttpMethod) -> HttpBody {
    let Some(value) = fields.value("body") else {
        return HttpBody::None;
    };
    if matches!(method, HttpMethod::Get | HttpMethod::Head) {
        fields.refuse("body", "must be left out: a request with GET or HEAD has none");
    }
    content(value)
}

/// A text is sent as it is: whoever means a JSON text writes its quotes, too.
fn content(value: &RawValue) -> HttpBody {
    serde_json::from_str(value.get()).map_or_else(|_| HttpBody::Json(JsonText::trusted(value.get())), HttpBody::Text)
}

impl HttpMethod {
    pub const ALL: [Self; 7] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Methods are told apart by the case of their letters (RFC 9110, 9.1).
    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// Without what may be secret: headers, the body, and of the URL all but where it leads.
impl fmt::Debug for HttpInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpInput")
            .field("method", &self.method)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Json(json) => write!(f, "Json({} bytes)", json.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> HttpInput {
        HttpInput::read(input).unwrap_or_else(|broken| panic!("{input}: {broken:?}"))
    }

    fn broken(input: &str) -> Vec<String> {
        let broken = HttpInput::read(input).expect_err(input);
        broken.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_but_the_url_has_a_default() {
        let input = read(r#"{"url": "https://Example.com:443/a?b=c#d", "body": null}"#);
        assert_eq!(input.method, HttpMethod::Get);
        assert_eq!(input.url.as_str(), "https://example.com/a?b=c");
        assert_eq!((input.headers.len(), &input.body), (0, &HttpBody::None));
        assert!(input.expected_statuses.contains(204) && !input.expected_statuses.contains(404));
        assert!(input.follow_redirects);
    }

    #[test]
    fn a_text_is_sent_as_it_is_and_all_else_as_json() {
        let body = |body: &str| {
            read(&format!(
                r#"{{"method": "POST", "url": "http://a.example", "body": {body}}}"#
            ))
            .body
        };
        assert_eq!(body(r#""a=b&c=\u00e9""#), HttpBody::Text("a=b&c=é".to_owned()));
        for json in [r#"{"b": 1.50, "a": 2}"#, "[1]", "5", "false"] {
            assert_eq!(body(json), HttpBody::Json(JsonText::trusted(json)));
        }
    }

    #[test]
    fn every_broken_rule_is_told_and_no_value_with_it() {
        let input = r#"{"method": "31337", "url": "ftp://31337", "headers": {"Host": "31337", "x": "31337\n31337"},
                        "body": "31337", "expected_statuses": [31337], "follow_redirects": "31337"}"#;
        let told = broken(input);
        let pointers: Vec<&str> = told.iter().filter_map(|told| told.split(' ').next()).collect();
        let expected = [
            "/method",
            "/url",
            "/headers/Host",
            "/headers/x",
            "/body",
            "/expected_statuses/0",
            "/follow_redirects",
        ];
        assert_eq!(pointers, expected, "{told:?}");
        assert!(!told.join(" ").contains("31337"), "{told:?}");
    }

    #[test]
    fn a_url_that_is_missing_is_told_once() {
        assert_eq!(broken("{}"), ["/url is missing"]);
        assert_eq!(broken("[]"), ["must be an object, not an array"]);
        assert_eq!(broken(r#"{"url": 31337}"#), ["/url must be a text, not a number"]);
        assert_eq!(
            broken(r#"{"url": ""}"#),
            ["/url is no absolute URL: relative URL without a base"]
        );
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let input = r#"{"method": "PUT", "url": "https://example.com/31337?a=31337", "headers": {"a": "31337"},
                        "body": "31337"}"#;
        let shown = format!("{:?}", read(input));
        assert!(
            shown.contains("https://example.com") && !shown.contains("31337"),
            "{shown}"
        );
    }
}
