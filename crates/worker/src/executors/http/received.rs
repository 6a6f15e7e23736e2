//! How much servers may send to a task.
//!
//! Counted below HTTP and TLS, where all of it comes by. The layers above skip what says nothing, such as interim
//! answers and empty members of gzip: it reaches no cap of theirs, and yet each byte of it takes time.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use http::Extensions;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// For what does not grow with the body: handshakes, the headers of all answers, and the bodies of redirects.
const FIXED_BYTES: usize = 1 << 20;

/// How many times its cap a body may have on its way: servers send small chunks, each in a TLS record of its own.
const BODY_TIMES: usize = 2;

/// What one exchange may receive, with all its redirects.
pub(super) struct Allowance {
    most: usize,
    received: AtomicUsize,
}

impl Allowance {
    pub(super) fn for_body(body_max_bytes: usize) -> Self {
        Self {
            most: body_max_bytes.saturating_mul(BODY_TIMES).saturating_add(FIXED_BYTES),
            received: AtomicUsize::new(0),
        }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.received.load(Ordering::Relaxed) > self.most
    }

    /// How much it is then.
    fn charge(&self, bytes: usize) -> usize {
        self.received.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}

/// Counts what a connection receives, for whichever exchange has it.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Account>>);

#[derive(Default)]
struct Account {
    /// Ends with the exchange, though the connection may go on.
    exchange: Weak<Allowance>,
    /// What came while no exchange had the connection: handshakes, and what a server says unasked.
    unclaimed: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("more than {most} bytes were received")]
struct TooMuch {
    most: usize,
}

impl Meter {
    /// That of the connection which a request was given to, if it was.
    pub(super) fn of(captured: &CaptureConnection) -> Option<Self> {
        let mut extras = Extensions::new();
        captured.connection_metadata().as_ref()?.get_extras(&mut extras);
        extras.remove()
    }

    /// Counts for this exchange from here on, and what came for none before. To say it again changes nothing.
    pub(super) fn count_for(&self, allowance: &Arc<Allowance>) {
        let mut account = self.0.lock();
        // Whether it is too much is found when there is more.
        allowance.charge(mem::take(&mut account.unclaimed));
        account.exchange = Arc::downgrade(allowance);
    }

    fn count(&self, bytes: usize) -> Result<(), TooMuch> {
        let mut account = self.0.lock();
        let (received, most) = if let Some(allowance) = account.exchange.upgrade() {
            (allowance.charge(bytes), allowance.most)
        } else {
            account.unclaimed += bytes;
            (account.unclaimed, FIXED_BYTES)
        };
        if received > most {
            return Err(TooMuch { most });
        }
        Ok(())
    }
}

/// A connection that fails when it has received too much.
pub(super) struct Metered {
    stream: TcpStream,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            meter: Meter::default(),
        }
    }
}

impl Connection for Metered {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.meter.clone())
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let metered = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut metered.stream).poll_read(context, buffer))?;
        if let Err(too_much) = metered.meter.count(buffer.filled().len() - before) {
            // Who fails has read nothing.
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(too_much)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = FIXED_BYTES + 2_000;

    fn allowance() -> Arc<Allowance> {
        Arc::new(Allowance::for_body(1_000))
    }

    #[test]
    fn an_allowance_is_one_for_all_connections_of_an_exchange_and_kept_to_the_byte() {
        let (first, second, allowance) = (Meter::default(), Meter::default(), allowance());
        first.count_for(&allowance);
        first.count(ALL - 10).expect("there is room");
        second.count_for(&allowance);
        second.count(10).expect("there is room for that, too");
        assert!(!allowance.is_exceeded());
        assert_eq!(second.count(1).expect_err("there is none").most, ALL);
        assert!(allowance.is_exceeded());
    }

    #[test]
    fn what_comes_before_an_exchange_counts_for_it_and_only_once() {
        let (meter, allowance) = (Meter::default(), allowance());
        meter.count(10).expect("a handshake");
        for _ in 0..3 {
            meter.count_for(&allowance);
        }
        meter.count(ALL - 10).expect("there is room");
        meter.count(1).expect_err("there is none");
    }

    #[test]
    fn an_exchange_leaves_nothing_of_its_own_to_the_next_one_on_the_connection() {
        let meter = Meter::default();
        for _ in 0..3 {
            let allowance = allowance();
            meter.count_for(&allowance);
            meter.count(ALL).expect("there is room for each");
        }
    }

    #[test]
    fn a_connection_that_no_exchange_has_receives_only_so_much() {
        let meter = Meter::default();
        meter.count(FIXED_BYTES).expect("there is room");
        assert_eq!(meter.count(1).expect_err("there is none").most, FIXED_BYTES);
        meter.count_for(&allowance());
        meter
            .count(FIXED_BYTES)
            .expect("that exchange is over, and had what came before");
    }
}
