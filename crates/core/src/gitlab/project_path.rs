use super::checked_text;
use super::rules::{Rule, check_path};

const MAX_BYTES: usize = 512;

checked_text!(
    /// `group/project`, with as many groups as there are, or the number of a project.
    ProjectPath,
    "project",
    check
);

fn check(text: &str) -> Result<(), Rule> {
    check_path(text, MAX_BYTES)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    if !text.contains('/') {
        return Err("must be `group/project` or the number of a project");
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./".contains(character);
    if !text.chars().all(is_plain) {
        return Err("has a character that no project has");
    }
    if text.split('/').any(|segment| segment.starts_with('-')) {
        return Err("must not have a segment that begins with `-`");
    }
    if text.len() > 4 && text[text.len() - 4..].eq_ignore_ascii_case(".git") {
        return Err("must be given without the `.git` of its repository");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_numbers_of_projects_are_taken() {
        for text in ["grp/proj", "a/b/c.d_e-f", "17", "grp.x/Proj_1", "a/..b"] {
            assert_eq!(ProjectPath::new(text).map(String::from).as_deref(), Ok(text));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "proj",
            "-1",
            "1.5",
            "grp/pr oj",
            "grp/-x",
            "grp/proj.git",
            "grp/prój",
            "grp/proj/",
            "1/",
        ] {
            assert!(ProjectPath::new(text).is_err(), "{text}");
        }
    }
}
