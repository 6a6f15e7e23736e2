//! Answers that stand before all of a request has arrived.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{KEY, ended, serving};

/// A client reads the answer when it has sent all of its request.
#[tokio::test]
async fn the_reason_of_a_refusal_arrives_before_all_of_a_request_was_read() {
    let stop = CancellationToken::new();
    let (addresses, server) = serving(&[("tasks.input_max_bytes", "1000")], &stop).await;
    let more_than_sockets_hold = " ".repeat(24 << 20);
    for (key, expected) in [(KEY, "HTTP/1.1 413"), ("unknown", "HTTP/1.1 401")] {
        let mut stream = TcpStream::connect(addresses.plain).await.expect("a connection");
        for _ in 0..2 {
            let request = format!(
                "POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{more_than_sockets_hold}",
                more_than_sockets_hold.len()
            );
            stream.write_all(request.as_bytes()).await.expect("all of it is taken");
            let mut answer = vec![0; 16 << 10];
            let length = stream.read(&mut answer).await.expect("an answer");
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(answer.starts_with(expected), "{answer}");
        }
    }
    stop.cancel();
    ended(server).await;
}
