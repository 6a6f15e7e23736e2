use super::checked_text;
use super::rules::{Rule, check_path};

const MAX_BYTES: usize = 512;

checked_text!(
    /// Where a file lies in a repository, from its root.
    FilePath,
    "path",
    check
);

fn check(text: &str) -> Result<(), Rule> {
    check_path(text, MAX_BYTES)?;
    // Git refuses it, too; on some file systems it is the folder that holds the repository, however it is written.
    if text.split('/').any(|segment| segment.eq_ignore_ascii_case(".git")) {
        return Err("must not have a segment `.git`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_taken() {
        for text in [
            "README.md",
            "condenser_input.json",
            "a/b c/d.txt",
            "каталог/файл.json",
            ".gitignore",
            "a/..b/c..",
            "100%.txt",
            "a/%zz",
            "-x",
        ] {
            assert_eq!(FilePath::new(text).map(String::from).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_path_may_have_so_many_bytes() {
        assert!(FilePath::new("a".repeat(MAX_BYTES)).is_ok());
        assert!(FilePath::new("a".repeat(MAX_BYTES + 1)).is_err());
    }
}
