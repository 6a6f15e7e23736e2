//! Reading and writing messages, on the shim's side: it has one thread and may wait.

use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{MESSAGE_MAX_BYTES, ORDER_BYTES, Order, frame};

/// As many open files as any message has.
const FILES_MAX: usize = 8;

/// The next message with its files; `None` when the caller is gone.
pub(super) fn receive<T: DeserializeOwned>(socket: &mut UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 4];
    let received = {
        let mut parts = [IoSliceMut::new(&mut length)];
        recvmsg(&*socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let files = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    socket.read_exact(&mut length[received.bytes..])?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, files)))
}

pub(super) fn send<T: Serialize>(socket: &mut UnixStream, message: &T) -> io::Result<()> {
    socket.write_all(&frame(message)?)
}

/// The next order; an error when the caller is gone, or speaks another language.
pub(super) fn order(mut socket: &UnixStream) -> io::Result<Order> {
    let mut bytes = [0; ORDER_BYTES];
    socket.read_exact(&mut bytes)?;
    Order::from_bytes(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
