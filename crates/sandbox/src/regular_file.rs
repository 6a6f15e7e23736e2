//! Reading a file that a program wrote, without trusting what it put there.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Reads at most `most` bytes of a regular file. A link, a pipe or a device in its place is an error, and so is a longer
/// file; a file that does not exist is `None`.
pub fn read_regular_file(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut content)?;
    if content.len() > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_the_right_size_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        assert!(read_regular_file(&file, 10).is_ok_and(|content| content.is_none()));
        std::fs::write(&file, "0123456789").expect("it is written");
        assert_eq!(
            read_regular_file(&file, 10).expect("it fits"),
            Some(b"0123456789".to_vec())
        );
        assert!(read_regular_file(&file, 9).is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert!(read_regular_file(&link, 10).is_err());
        assert!(read_regular_file(directory.path(), 10).is_err());
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo runs");
        assert!(made.success());
        assert!(
            read_regular_file(&pipe, 10).is_err(),
            "and it does not wait for a writer"
        );
    }
}
