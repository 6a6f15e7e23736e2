//! Writing and reading messages, on the caller's side: nothing waits but the task that asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::Pid;
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

/// Receives one byte, and tells which process has sent it. The socket has to be one that asks the kernel.
pub(crate) async fn sender(socket: &UnixStream) -> io::Result<Pid> {
    let received = socket.async_io(Interest::READABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sender = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid),
            _ => None,
        });
        sender.ok_or_else(|| io::Error::other("the kernel did not say who has sent a message"))
    });
    received.await
}
