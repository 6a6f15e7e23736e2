use orchestratum_testkit::{GitlabDouble, OWNER_TOKEN, PROJECT, READ_ONLY_TOKEN};

const SCRIPT: &str = include_str!("../../gitlab/conformance.py");

/// So many things it looks at.
const CHECKS: usize = 34;

#[tokio::test]
async fn the_double_is_a_gitlab_to_python_gitlab() -> anyhow::Result<()> {
    let python = std::env::var("GITLAB_PYTHON")
        .expect("this test needs an interpreter with python-gitlab: run `cargo xtask test`, which brings one");
    let double = GitlabDouble::start()?;
    let output = tokio::process::Command::new(python)
        .args(["-c", SCRIPT])
        .env("GITLAB_URL", double.url())
        .env("GITLAB_TOKEN", OWNER_TOKEN)
        .env("GITLAB_READ_TOKEN", READ_ONLY_TOKEN)
        .env("GITLAB_PROJECT", PROJECT)
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}\n{complaint}");
    assert!(told.ends_with(&format!("{CHECKS} passed, 0 failed\n")), "{told}");
    let repository = double.control().repository().await?;
    let fsck = tokio::process::Command::new("git")
        .arg("--git-dir")
        .arg(repository)
        .args(["fsck", "--strict"])
        .status()
        .await?;
    assert!(fsck.success(), "the repository is damaged");
    Ok(())
}
