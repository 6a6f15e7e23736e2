//! Just enough of an HTTP client to ask a server on this machine something.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing asked for here comes near this; a server gone wrong must not fill the memory.
const LARGEST_ANSWER_BYTES: u64 = 16 << 20;

#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// `host:port`
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) authorization: &'a str,
    pub(crate) body: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Whether something listens at `host:port`.
pub(crate) fn connect(authority: &str) -> Result<TcpStream> {
    let address = authority
        .to_socket_addrs()
        .with_context(|| format!("`{authority}` is not an address"))?
        .next()
        .with_context(|| format!("`{authority}` has no address"))?;
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).with_context(|| format!("nothing answers at {authority}"))
}

pub(crate) fn send(request: &Request<'_>) -> Result<Response> {
    let mut stream = connect(request.authority)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(render(request).as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER_BYTES).read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
        .with_context(|| format!("{} {} got an answer that is not HTTP", request.method, request.path))
}

/// HTTP/1.0, because its answers are never chunked and end with the connection.
fn render(request: &Request<'_>) -> String {
    let Request {
        method,
        authority,
        path,
        authorization,
        body,
    } = request;
    let body = body.unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nAuthorization: {authorization}\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.split(' ').nth(1)?.parse().ok()?;
    Some(Response {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_into_status_and_body() {
        let response = parse("HTTP/1.0 201 Created\r\nContent-Length: 2\r\n\r\n{}").expect("it is HTTP");
        assert_eq!((response.status, response.body.as_str()), (201, "{}"));
    }

    #[test]
    fn an_answer_of_another_protocol_is_refused() {
        assert!(parse("AMQP\0\0\u{9}\u{1}").is_none());
    }
}
