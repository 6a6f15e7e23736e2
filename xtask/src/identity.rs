//! A process that can still be recognized when its pid may long belong to another.

use std::fmt;
use std::fs;
use std::str::FromStr;

use anyhow::{Context, Result};

/// A pid and when the kernel says its process began, in ticks since the machine did: never the same for two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pid: u32,
    began: u64,
}

impl Identity {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let (_state, began) =
            look_up(pid).with_context(|| format!("process {pid} is not in /proc: it is gone, or this is not Linux"))?;
        Ok(Self { pid, began })
    }

    pub(crate) fn pid(self) -> u32 {
        self.pid
    }

    /// A zombie does nothing more: whether its parent has taken notice yet is no matter.
    pub(crate) fn is_alive(self) -> bool {
        look_up(self.pid).is_some_and(|(state, began)| began == self.began && !["Z", "X"].contains(&state.as_str()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.pid, self.began)
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (pid, began) = text
            .trim()
            .split_once(' ')
            .with_context(|| format!("`{text}` is no pid and time"))?;
        Ok(Self {
            pid: pid.parse()?,
            began: began.parse()?,
        })
    }
}

fn look_up(pid: u32) -> Option<(String, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// State and begin, the third and the twenty-second field; the second, a name in brackets, may hold spaces and brackets.
fn parse(stat: &str) -> Option<(String, u64)> {
    let (_pid_and_name, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_recognizes_itself_and_not_one_that_had_its_pid_before() {
        let ourselves = Identity::of(std::process::id()).expect("we are alive");
        assert!(ourselves.is_alive());
        assert!(
            !Identity {
                began: ourselves.began - 1,
                ..ourselves
            }
            .is_alive()
        );
        assert_eq!(
            ourselves.to_string().parse::<Identity>().expect("it was just printed"),
            ourselves
        );
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse(stat), Some(("S".to_owned(), 4711)));
    }
}
