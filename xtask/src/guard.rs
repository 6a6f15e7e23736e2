//! A process that outlives us and ends what we started.
//!
//! It holds the reading end of a pipe whose writing end is ours alone. When we end, be it by a return, a panic, Ctrl-C or
//! SIGKILL, the kernel closes the pipe, and that is the guard's signal. One way out for every way to end.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// The arguments make this very program call [`wait_until_abandoned`] and then clean up.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let ourselves = std::env::current_exe().context("cannot find this program")?;
        let guard = Command::new(ourselves)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A group of its own: Ctrl-C in the terminal is for us, not for the guard.
            .process_group(0)
            .spawn()
            .context("cannot start the guard of what is about to be started")?;
        Ok(Self(guard))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Its failure has been printed by itself, and there is nobody left to hand an error to.
        let _ = self.0.wait();
    }
}

/// Returns when the process that started this guard has ended or has let it go.
pub(crate) fn wait_until_abandoned() {
    // Nobody writes: the first return, whether empty or an error, is the end.
    let _ = std::io::stdin().read(&mut [0; 1]);
}
