//! A connection whose client does not take what is sent to it ends.
//!
//! An answer that nobody reads would hold its memory and its place among the connections for ever. The clock runs while
//! the socket is full: it starts when a write finds no room, and starts anew with every [`ENOUGH_BYTES`] that were taken
//! since. It stops when all there was to send is on its way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a client takes at least in one timeout. A single byte from time to time must not keep a connection.
const ENOUGH_BYTES: usize = 16 << 10;

/// A stream whose writes fail with `TimedOut` when the other side does not take them.
#[derive(Debug)]
pub(super) struct Taken<S> {
    stream: S,
    timeout: Duration,
    /// Made by the first write that finds no room: most connections never need one.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How many bytes were taken since the deadline was set; `None` while nothing waits for room.
    since_full: Option<usize>,
}

impl<S> Taken<S> {
    pub(super) fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            deadline: None,
            since_full: None,
        }
    }

    fn settle(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.wrote(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(context),
        }
    }

    fn wrote(&mut self, bytes: usize) {
        self.since_full = self
            .since_full
            .map(|taken| taken.saturating_add(bytes))
            .filter(|taken| *taken < ENOUGH_BYTES);
    }

    /// There is no room: waits for the deadline, whose end is an error.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timeout = self.timeout;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if self.since_full.is_none() {
            deadline.as_mut().reset(Instant::now() + timeout);
            self.since_full = Some(0);
        }
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not take its answer",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.settle(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.settle(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Whoever writes through this flushes when nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(result) => {
                self.since_full = None;
                Poll::Ready(result)
            }
            Poll::Pending => self.wait(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.wait(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(1_024);
        let started = Instant::now();
        let mut stream = Taken::new(ours, TIMEOUT);
        let error = stream.write_all(&[0; 4_096]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= TIMEOUT);
    }

    #[tokio::test]
    async fn a_byte_from_time_to_time_does_not_keep_the_connection() {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let mut stream = Taken::new(ours, TIMEOUT);
        let dribble = async {
            loop {
                tokio::time::sleep(TIMEOUT / 20).await;
                if theirs.read_u8().await.is_err() {
                    return;
                }
            }
        };
        let bytes = [0; 4_096];
        let error = tokio::select! {
            written = stream.write_all(&bytes) => written.expect_err("too slow"),
            () = dribble => unreachable!("the stream is open"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_client_that_goes_on_reading_gets_all_of_it() {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let reader = tokio::spawn(async move {
            let (mut total, mut buffer) = (0, [0; 1_024]);
            loop {
                tokio::time::sleep(TIMEOUT / 150).await;
                match theirs.read(&mut buffer).await {
                    Ok(0) | Err(_) => return total,
                    Ok(read) => total += read,
                }
            }
        });
        let mut stream = Taken::new(ours, TIMEOUT);
        let bytes = vec![0; 256 << 10];
        stream.write_all(&bytes).await.expect("it goes on");
        stream.flush().await.expect("it goes on");
        // The clock stands still while nothing waits for room.
        tokio::time::sleep(TIMEOUT * 2).await;
        stream.write_all(&bytes).await.expect("it goes on");
        stream.shutdown().await.expect("its end");
        assert_eq!(reader.await.expect("no panic"), bytes.len() * 2);
    }
}
