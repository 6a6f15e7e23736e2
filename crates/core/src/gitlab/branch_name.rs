use super::checked_text;
use super::rules::{Rule, check_path};

const MAX_BYTES: usize = 255;

/// Git writes to files that end so, beside those of the branches.
const LOCK: &str = ".lock";

checked_text!(
    /// What git takes as the name of a branch, and no more than that.
    BranchName,
    "branch",
    check
);

/// The rules of `git check-ref-format`, and those of GitLab.
fn check(text: &str) -> Result<(), Rule> {
    check_path(text, MAX_BYTES)?;
    if text.contains([' ', '~', '^', ':', '*', '[']) {
        return Err("must not have a space or one of `~^:*[`");
    }
    if text.contains("..") || text.contains("@{") {
        return Err("must not have `..` or `@{`");
    }
    if text.starts_with('-') || text == "@" || text == "HEAD" {
        return Err("must not be `@` or `HEAD`, or begin with `-`");
    }
    if text.ends_with('.')
        || text
            .split('/')
            .any(|segment| segment.starts_with('.') || segment.ends_with(LOCK))
    {
        return Err("must not end in `.` or have a segment that begins with `.` or ends in `.lock`");
    }
    if text.starts_with("refs/") {
        return Err("must be given without `refs/`");
    }
    // GitLab refuses them: a commit is meant by such a text.
    if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("must not look like the id of a commit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_branches_are_taken() {
        for text in ["main", "issue/42-new-calculation", "a.b", "задача/7", "x-y_z", "100%"] {
            assert_eq!(BranchName::new(text).map(String::from).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_git_or_gitlab_refuses_is_refused_before() {
        for text in [
            "a b",
            "a..b",
            "a~1",
            "a^",
            "a:b",
            "a*",
            "a[b",
            "a@{1}",
            "-a",
            "@",
            "HEAD",
            "a.",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "refs/heads/a",
            "0123456789012345678901234567890123456789",
        ] {
            assert!(BranchName::new(text).is_err(), "{text}");
        }
    }
}
