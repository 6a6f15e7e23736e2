//! Running other programs, with errors that name the command.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end, its output on ours; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs to the end and returns what it printed; what it complained about is part of the error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` ended with {}: {}",
            describe(command),
            output.status,
            complaint.trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is no text", describe(command)))
}

/// Whether the command can be started and ends with 0; says nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The same command, ended when it takes longer than this.
pub(crate) fn within(limit_seconds: u32, command: &Command) -> Command {
    let mut bounded = Command::new("timeout");
    // In our process group: Ctrl-C ends it, too.
    bounded.args(["--foreground", &limit_seconds.to_string()]);
    bounded.arg(command.get_program());
    bounded.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    bounded
}

/// By the shell's own `kill`, since a slim machine has no other. A negative pid stands for its process group.
pub(crate) fn signal(name: &str, pid: &str) -> Result<()> {
    read(Command::new("sh").args(["-c", r#"kill -s "$1" -- "$2""#, "kill", name, pid])).map(drop)
}

/// The command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or(program.as_os_str())).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_ended_and_is_otherwise_the_same() {
        assert!(!succeeds(&mut within(1, Command::new("sleep").arg("60"))));
        let mut asked = Command::new("sh");
        asked
            .args(["-c", "pwd; echo $ASKED"])
            .env("ASKED", "yes")
            .current_dir("/usr");
        assert_eq!(read(&mut within(60, &asked)).expect("it runs"), "/usr\nyes\n");
    }
}
