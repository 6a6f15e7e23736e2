//! `deny.toml`, as far as we hold it ourselves: one entry a line, which keeps a reader for it this small.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

#[derive(Debug, Default)]
pub(super) struct Policy {
    allowed: BTreeSet<String>,
    /// Crate and licence.
    exceptions: BTreeSet<(String, String)>,
    banned: BTreeSet<String>,
}

impl Policy {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut policy = Self::default();
        let (mut section, mut list) = ("", "");
        for line in text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
        {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']);
            } else if let Some(name) = line.strip_suffix("= [") {
                list = name.trim_end();
            } else if line == "]" {
                list = "";
            } else if !list.is_empty() && !line.is_empty() {
                policy.take(section, list, &quoted(line))?;
            }
        }
        if policy.allowed.is_empty() {
            bail!("deny.toml has no list `allow = [` with one licence a line under [licenses]");
        }
        Ok(policy)
    }

    fn take(&mut self, section: &str, list: &str, values: &[&str]) -> Result<()> {
        match (section, list, values) {
            ("licenses", "allow", [license]) => {
                self.allowed.insert((*license).to_owned());
            }
            ("licenses", "exceptions", [name, licenses @ ..]) => {
                self.exceptions.extend(
                    licenses
                        .iter()
                        .map(|license| ((*name).to_owned(), (*license).to_owned())),
                );
            }
            ("bans", "deny", [name, ..]) => {
                self.banned.insert((*name).to_owned());
            }
            _ => {
                bail!("deny.toml has an entry in `{list}` of [{section}] that the tidy checks cannot read: {values:?}")
            }
        }
        Ok(())
    }

    pub(super) fn allows(&self, name: &str, license: &str) -> bool {
        self.allowed.contains(license) || self.exceptions.contains(&(name.to_owned(), license.to_owned()))
    }

    pub(super) fn bans(&self, name: &str) -> bool {
        self.banned.contains(name)
    }

    pub(super) fn excepted_crates(&self) -> impl Iterator<Item = &str> {
        self.exceptions.iter().map(|(name, _license)| name.as_str())
    }
}

fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[licenses]
allow = [
  "MIT", # short
]
exceptions = [
  { crate = "roots", allow = ["CDLA-Permissive-2.0"] },
]
[bans]
deny = [
  { crate = "openssl-sys", reason = "rustls" },
]
"#;

    #[test]
    fn an_exception_is_for_its_crate_alone() {
        let policy = Policy::parse(TEXT).expect("it is well formed");
        assert!(policy.allows("anything", "MIT"));
        assert!(policy.allows("roots", "CDLA-Permissive-2.0"));
        assert!(!policy.allows("other", "CDLA-Permissive-2.0"));
        assert!(policy.bans("openssl-sys"));
        assert!(!policy.bans("rustls"));
    }

    #[test]
    fn a_file_without_the_list_is_an_error_and_does_not_allow_everything() {
        assert!(Policy::parse("[licenses]\nallow = [\"MIT\"]\n").is_err());
    }
}
