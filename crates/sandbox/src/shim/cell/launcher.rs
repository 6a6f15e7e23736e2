//! Starts the programs of a cell, from within its walls.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream;

use crate::protocol::{Launch, Opened, Status};
use crate::shim::{children, launch, messages};

pub(super) fn serve(socket: &mut UnixStream) -> io::Result<Infallible> {
    messages::send(socket, &Opened::Ready)?;
    while let Some((request, files)) = messages::receive::<Launch>(socket)? {
        let status = match launch::start(&request, files, || Ok(())) {
            Ok(program) => children::wait(program)?,
            Err(error) => Status::NotStarted {
                reason: error.to_string(),
            },
        };
        messages::send(socket, &status)?;
    }
    std::process::exit(0)
}
