//! `cargo xtask docker`: the images are built, the compose file is started, and tasks run through it.
//!
//! ```text
//! an engine that answers ──────────────► used as it is, images pulled
//! none, and we are root ──► a private one, ended afterwards; where no registry is reachable, stand-ins of the images
//!                           built from Debian's packages, and said so
//! ```

mod engine;
mod private;
mod scenario;
mod stack;
mod stand_ins;

use std::path::Path;

use anyhow::Result;

use self::engine::Engine;
use self::stack::Stack;
use crate::guard;
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;

pub(crate) fn run() -> Result<()> {
    let total = Stopwatch::start();
    let workspace = Workspace::locate()?;
    let engine = Engine::find_or_start()?;
    engine.client().provide_images(&workspace, engine.is_private())?;
    let stack = Stack::new(engine.client(), &workspace);
    stack.build()?;
    if engine.is_private() {
        engine.client().remove_replaced_images()?;
    }
    // Ends before the engine does: what is declared last is dropped first.
    let running = stack.up()?;
    scenario::run(&running)?;
    drop(running);
    for stand_in in engine.client().stand_ins()? {
        println!("verified with a local stand-in, not with the published image: {stand_in}");
    }
    println!("the images build, the compose file starts, and tasks run through it ({total})");
    Ok(())
}

/// The life of the guard of a private engine.
pub(crate) fn guard_until_abandoned(directory: &Path) -> Result<()> {
    guard::wait_until_abandoned();
    private::stop(directory)
}
