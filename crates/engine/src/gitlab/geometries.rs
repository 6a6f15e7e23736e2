//! The geometries of a project, as its manifest tells them.

use orchestratum_core::gitlab::{BranchName, CommitId, Geometry, ProjectPath};

use crate::{Engine, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometries {
    pub geometries: Vec<Geometry>,
    /// Where the branch stood.
    pub commit: CommitId,
}

impl Engine {
    /// # Errors
    /// [`Error::GitlabContent`] with what is wrong in the manifest and where, [`Error::Gitlab`] also where there is none.
    pub async fn geometries(&self, project: ProjectPath, branch: BranchName) -> Result<Geometries, Error> {
        let path = Geometry::manifest_path();
        let reference = branch.clone().into();
        let file = self.gitlab()?.get_file_content(&project, &path, &reference).await?;
        match Geometry::read_manifest(&file.content) {
            Ok(geometries) => Ok(Geometries {
                geometries,
                commit: file.commit,
            }),
            Err(faults) => Err(Error::GitlabContent {
                project,
                branch,
                path,
                faults,
            }),
        }
    }
}
