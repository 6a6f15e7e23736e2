//! The answer as the output of the task.

use std::collections::BTreeMap;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use orchestratum_core::JsonText;
use serde::Serialize;
use url::Url;

use super::super::content::{Body, with_body};
use super::error::Error;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Decompressed.
    pub(super) body: Vec<u8>,
    /// Who gave it, after all redirects.
    pub(super) url: Url,
    pub(super) redirects: usize,
}

#[derive(Serialize)]
struct Output<'a> {
    status: u16,
    headers: &'a BTreeMap<String, HeaderValues>,
    body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    url: &'a str,
    redirects: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum HeaderValues {
    /// Several are one list (RFC 9110, 5.3).
    Joined(String),
    /// A cookie may hold a comma.
    Cookies(Vec<String>),
}

impl Answer {
    /// The body as JSON if it says that it is, else as text, and where it can be neither, in base64.
    pub(super) fn output(&self) -> Result<JsonText, Error> {
        let headers = self.headers();
        let output = |body: Body<'_>, body_base64: Option<String>| {
            JsonText::of(&Output {
                status: self.status.as_u16(),
                headers: &headers,
                body,
                body_base64,
                url: self.url.as_str(),
                redirects: self.redirects,
            })
        };
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        with_body(&self.body, content_type, output).map_err(Error::NotStorable)
    }

    fn headers(&self) -> BTreeMap<String, HeaderValues> {
        let mut headers = BTreeMap::new();
        for name in self.headers.keys() {
            let values = self.headers.get_all(name).iter();
            let values: Vec<String> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            let values = if name == SET_COOKIE {
                HeaderValues::Cookies(values)
            } else {
                HeaderValues::Joined(values.join(", "))
            };
            headers.insert(name.to_string(), values);
        }
        // They tell of the compressed body, which is not the one in the output.
        if headers.remove(CONTENT_ENCODING.as_str()).is_some() {
            headers.remove(CONTENT_LENGTH.as_str());
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderName, HeaderValue};
    use serde_json::{Value, json};

    use super::*;

    fn output(headers: &[(&'static str, &'static str)], body: &[u8]) -> Value {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        let answer = Answer {
            status: StatusCode::OK,
            headers: all,
            body: body.to_vec(),
            url: "https://a.example/x?y".parse().expect("a URL"),
            redirects: 1,
        };
        let output = answer.output().expect("it can be stored");
        output.parse().expect("it is JSON")
    }

    #[test]
    fn a_body_is_json_only_if_it_says_so_and_is() {
        let json_type = [("content-type", "Application/Problem+JSON; charset=utf-8")];
        assert_eq!(
            output(&json_type, b"\xef\xbb\xbf{\"a\": [1, 2.50]}"),
            json!({
                "status": 200, "headers": {"content-type": json_type[0].1}, "body": {"a": [1, 2.50]},
                "url": "https://a.example/x?y", "redirects": 1
            })
        );
        assert_eq!(output(&json_type, b"{\"a\": ")["body"], "{\"a\": ");
        assert_eq!(output(&json_type, b"\"\\u0000\"")["body"], "\"\\u0000\"");
        assert_eq!(output(&json_type, b"")["body"], "");
        assert_eq!(output(&[("content-type", "text/plain")], b"[1]")["body"], "[1]");
        assert_eq!(output(&[], b"[1]")["body"], "[1]");
        let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
        assert_eq!(
            output(&json_type, deep.as_bytes())["body"],
            deep,
            "too deep in an output"
        );
    }

    #[test]
    fn a_body_that_is_no_text_is_in_base64() {
        for body in [&b"\xff\xfe"[..], b"a\0b"] {
            let output = output(&[("content-type", "application/json")], body);
            assert_eq!(output["body"], Value::Null);
            assert_eq!(output["body_base64"], STANDARD.encode(body));
        }
        assert_eq!(output(&[], b"text").get("body_base64"), None);
    }

    #[test]
    fn repeated_headers_are_one_list_and_cookies_are_kept_apart() {
        let headers = [
            ("vary", "a"),
            ("vary", "b"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2, 3"),
            ("content-length", "4"),
        ];
        assert_eq!(
            output(&headers, b"")["headers"],
            json!({"vary": "a, b", "set-cookie": ["a=1", "b=2, 3"], "content-length": "4"})
        );
        let compressed = [("content-encoding", "gzip"), ("content-length", "4")];
        assert_eq!(
            output(&compressed, b"")["headers"],
            json!({}),
            "they are not of this body"
        );
    }
}
