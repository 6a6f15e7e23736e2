//! The images that ours are built from and run beside: pulled, or stood in for on a private engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::engine::Client;
use super::private;
use crate::workspace::Workspace;
use crate::{csharp, process};

const DEBIAN: &str = "debian:bookworm-slim";
const RUST: &str = "rust:1-bookworm";
const DOTNET: &str = "mcr.microsoft.com/dotnet/sdk:10.0";
const POSTGRES: &str = "postgres:16";
const RABBITMQ: &str = "rabbitmq:3-management";
/// Debian first: the stand-ins of the others are made from it.
const IMAGES: [&str; 5] = [DEBIAN, RUST, DOTNET, POSTGRES, RABBITMQ];

const LABEL: &str = "orchestratum.stand-in";
/// Where there is no way to a registry, the engine itself would try for minutes.
const PULL_LIMIT_SECONDS: u32 = 300;

impl Client {
    /// A stand-in is only ever put into an engine of our own.
    pub(super) fn provide_images(&self, workspace: &Workspace, stand_ins_allowed: bool) -> Result<()> {
        for image in IMAGES {
            if process::succeeds(&mut self.docker(&["image", "inspect", image])) {
                continue;
            }
            println!("==> image {image}");
            if self.registry_was_given_up()? || !self.pull(image) {
                if !stand_ins_allowed {
                    bail!("the image {image} cannot be pulled");
                }
                self.build_stand_in(image, workspace)
                    .with_context(|| format!("cannot build a stand-in for {image}"))?;
            }
        }
        Ok(())
    }

    /// What each stand-in stands for and what it is.
    pub(super) fn stand_ins(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for image in IMAGES {
            let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
            let label = process::read(&mut self.docker(&["image", "inspect", "--format", &format, image]))?;
            if !["", "<no value>"].contains(&label.trim()) {
                found.push(format!("{image} ({})", label.trim()));
            }
        }
        Ok(found)
    }

    /// Those of the runs before: a private engine stays, and each run would leave two more. What builds are made of is kept.
    pub(super) fn remove_replaced_images(&self) -> Result<()> {
        process::run(self.docker(&["image", "prune", "--force"]).stdout(Stdio::null()))
    }

    /// One image that had to be stood in for tells about the others: no need to wait for each.
    fn registry_was_given_up(&self) -> Result<bool> {
        let filter = format!("label={LABEL}");
        Ok(
            !process::read(&mut self.docker(&["image", "ls", "--quiet", "--filter", &filter]))?
                .trim()
                .is_empty(),
        )
    }

    fn pull(&self, image: &str) -> bool {
        let mut pull = process::within(PULL_LIMIT_SECONDS, &self.docker(&["pull", image]));
        pull.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn build_stand_in(&self, image: &str, workspace: &Workspace) -> Result<()> {
        println!("    no registry is reachable: building a STAND-IN for {image}");
        let directory = private::directory();
        match image {
            DEBIAN => self.import_debian(&directory),
            RUST => self.build_in(image, &rust_context(&directory)?),
            DOTNET => self.build_in(image, &dotnet_context(&directory, &csharp::provide(workspace)?)?),
            POSTGRES => self.build_in(image, &context(&directory, "postgres", POSTGRES_FILES)?),
            RABBITMQ => self.build_in(image, &context(&directory, "rabbitmq", RABBITMQ_FILES)?),
            other => bail!("there is no stand-in for {other}"),
        }
    }

    fn build_in(&self, image: &str, context: &Path) -> Result<()> {
        process::run(
            self.docker(&["build", "--quiet", "--tag", image])
                .arg(context)
                .stdout(Stdio::null()),
        )
    }

    /// A minimal Debian that trusts the certificates this machine trusts, also in the tools that bring a list of their own.
    fn import_debian(&self, directory: &Path) -> Result<()> {
        let root = directory.join("debian");
        process::run(Command::new("sh").args(["-euc", BOOTSTRAP, "bootstrap"]).arg(&root))?;
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        let environment = ["SSL_CERT_FILE", "PIP_CERT", "CARGO_HTTP_CAINFO"].map(|name| format!("ENV {name}={bundle}"));
        let mut import = self.docker(&["import", "--change", "CMD [\"bash\"]"]);
        for change in environment.iter().chain([&format!("LABEL {LABEL}=debootstrap")]) {
            import.args(["--change", change]);
        }
        let mut archive = Command::new("tar");
        let mut archive = archive
            .arg("-C")
            .arg(&root)
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()?;
        let stream = archive.stdout.take().context("the archive has no output")?;
        process::run(import.args(["-", DEBIAN]).stdin(stream).stdout(Stdio::null()))?;
        if !archive.wait()?.success() {
            bail!("the archive of {} is incomplete", root.display());
        }
        Ok(())
    }
}

const POSTGRES_FILES: [(&str, &str); 2] = [
    ("Dockerfile", include_str!("stand-ins/postgres/Dockerfile")),
    ("entry.sh", include_str!("stand-ins/postgres/entry.sh")),
];
const RABBITMQ_FILES: [(&str, &str); 2] = [
    ("Dockerfile", include_str!("stand-ins/rabbitmq/Dockerfile")),
    ("entry.sh", include_str!("stand-ins/rabbitmq/entry.sh")),
];

const BOOTSTRAP: &str = r#"
root=$1
if [ ! -e "$root/.complete" ]; then
  rm -rf "$root"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >"$root.log" 2>&1 || { tail -5 "$root.log"; exit 1; }
  if cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/" 2>/dev/null; then
    : >"$root/etc/apt/sources.list"
  fi
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/doc/* "$root"/usr/share/locale/*
  : >"$root/.complete"
fi
"#;

fn context(directory: &Path, name: &str, files: [(&str, &str); 2]) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let context = directory.join("contexts").join(name);
    fs::create_dir_all(&context)?;
    for (name, text) in files {
        let path = context.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(context)
}

/// The toolchain that runs this command, on Debian with a C compiler.
fn rust_context(directory: &Path) -> Result<PathBuf> {
    let context = directory.join("contexts/rust");
    let toolchain = context.join("toolchain");
    fs::create_dir_all(&toolchain)?;
    let sysroot = process::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let copy = r#"tar -C "$1" --exclude=share/doc -c bin lib | tar -C "$2" -x"#;
    process::run(
        Command::new("sh")
            .args(["-euc", copy, "copy", sysroot.trim()])
            .arg(&toolchain),
    )?;
    fs::write(context.join("Dockerfile"), include_str!("stand-ins/rust/Dockerfile"))?;
    Ok(context)
}

/// What a worker needs of a `dotnet` with an SDK.
fn dotnet_context(directory: &Path, dotnet: &Path) -> Result<PathBuf> {
    let context = directory.join("contexts/dotnet");
    fs::create_dir_all(&context)?;
    let copy = r#"
rm -rf "$2"
mkdir "$2"
cd "$1"
tar -c dotnet host shared/Microsoft.NETCore.App sdk/*/Roslyn/bincore | tar -C "$2" -x
"#;
    process::run(
        Command::new("sh")
            .args(["-euc", copy, "copy"])
            .arg(dotnet)
            .arg(context.join("dotnet")),
    )?;
    fs::write(context.join("Dockerfile"), include_str!("stand-ins/dotnet/Dockerfile"))?;
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_that_is_built_from_or_started_is_provided() {
        let files = [
            include_str!("../../../Dockerfile.api"),
            include_str!("../../../Dockerfile.worker"),
            include_str!("../../../docker-compose.yml"),
        ];
        let named = files.iter().flat_map(|file| file.lines()).filter_map(|line| {
            let line = line.trim();
            let image = line.strip_prefix("FROM ").or_else(|| line.strip_prefix("image: "))?;
            image.split_whitespace().next()
        });
        let mut named: Vec<&str> = named.filter(|image| !image.starts_with("orchestratum-")).collect();
        named.sort_unstable();
        named.dedup();
        let mut provided = IMAGES;
        provided.sort_unstable();
        assert_eq!(named, provided);
    }
}
