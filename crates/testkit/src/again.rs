//! Tests that run again on a machine that differs from this one: in mounts of their own.

use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

/// Says that this process is the second one of [`again_after`].
const AGAIN: &str = "SANDBOX_TEST_AGAIN";

pub fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs one test of this program again, in mounts of its own that a script has changed before. `false` where this user may
/// not have such.
pub async fn again_after(script: &str, test: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        return false;
    }
    let script = format!("{script}\nexec \"$0\" --exact {test} --nocapture");
    let this = std::env::current_exe().expect("this test");
    let run = tokio::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", &script])
        .arg(this)
        .env(AGAIN, "1")
        .stdin(Stdio::null())
        .output();
    let output = timeout(Duration::from_secs(60), run).await.expect("within 60 s");
    let output = output.expect("it starts");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{said:?}");
    true
}

/// A machine without control groups.
pub const WITHOUT_GROUPS: &str = "mount -t tmpfs none /sys/fs/cgroup";
