//! SQLite in a file behaves as every store must.

use std::sync::Arc;

use crate::conformance::Fixture;
use orchestratum_store::{Options, Store, connect};
use tempfile::TempDir;

struct InFile {
    store: Arc<dyn Store>,
    folder: TempDir,
}

#[async_trait::async_trait]
impl Fixture for InFile {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    async fn remove(self: Box<Self>) {
        self.folder.close().expect("the folder can be removed");
    }
}

async fn fixture() -> Box<dyn Fixture> {
    let folder = TempDir::new().expect("a temporary folder");
    let url = format!("sqlite://{}", folder.path().join("tasks.db").display());
    let store = connect(&url, &Options::default()).await.expect("opens");
    store.migrate().await.expect("migrates");
    Box::new(InFile { store, folder })
}

crate::conformance::suite!(crate::in_file::fixture);
