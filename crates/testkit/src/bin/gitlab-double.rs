//! A GitLab for tests, as a process that can be killed: `gitlab-double ADDRESS FOLDER`.

use std::path::Path;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder] = arguments.as_slice() else {
        bail!("usage: gitlab-double ADDRESS FOLDER");
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}"))?;
    println!("GitLab's double is at http://{}", listener.local_addr()?);
    orchestratum_testkit::serve_gitlab(listener, Path::new(folder)).await
}
