//! What isolation costs: how long `/bin/true` takes at each level, beside a plain child process.
//!
//! ```sh
//! cargo run --release -p orchestratum-sandbox --example pace
//! ```

use std::time::Duration;

use orchestratum_sandbox::{Command, Isolation, Sandbox, Shim, shim};
use tokio::time::Instant;

const RUNS: u32 = 300;

#[tokio::main]
async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let each = |total: Duration| total.as_secs_f64() * 1e3 / f64::from(RUNS);
    let begun = Instant::now();
    for _ in 0..RUNS {
        tokio::process::Command::new("/bin/true").status().await?;
    }
    println!("plain     {:.2} ms", each(begun.elapsed()));
    for level in [Isolation::Off, Isolation::Landlock, Isolation::Full] {
        let sandbox = Sandbox::open(Shim::this_program(), level, Vec::new(), None).await?;
        let command = Command::new("/bin/true");
        let begun = Instant::now();
        for _ in 0..RUNS {
            sandbox.spawn(&command).await?.wait().await?;
        }
        println!("{:<9} {:.2} ms", level.as_str(), each(begun.elapsed()));
    }
    let begun = Instant::now();
    for _ in 0..RUNS / 10 {
        Sandbox::open(Shim::this_program(), Isolation::Full, Vec::new(), None).await?;
    }
    println!("a new cell and /bin/true {:.2} ms", each(begun.elapsed()) * 10.0);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    shim::run_if_asked();
    run()
}
