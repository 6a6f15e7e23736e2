//! Writing and reading messages, on the caller's side: nothing waits but the task that asked.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// As many open files as any message has.
const FILES_MAX: usize = 5;

/// An answer is short, also one of a runner that speaks nonsense.
const ANSWER_MAX_BYTES: u32 = 64 * 1024;

/// Sends a framed message; the files go with its first byte.
pub(crate) async fn send(socket: &mut UnixStream, message: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let sent = socket
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Ok(sendmsg(
                &*socket,
                &[IoSlice::new(message)],
                &mut control,
                SendFlags::NOSIGNAL,
            )?)
        })
        .await?;
    socket.write_all(&message[sent..]).await
}

pub(crate) async fn receive<T: DeserializeOwned>(socket: &mut UnixStream) -> io::Result<T> {
    let length = socket.read_u32().await?;
    if length > ANSWER_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; usize::try_from(length).unwrap_or_default()];
    socket.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}
