//! The images that run in the cluster, as docker archives: the pause image, the workloads' busybox
//! and the agent's own, which is built from the repository's Dockerfile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::work::Work;
use crate::{cmd, wait};

/// The sandbox's image on the bare cluster.
pub(crate) const PAUSE: &str = "docker.io/library/hawsepipe-pause:e2e";
/// What workloads run.
pub(crate) const WORKLOAD: &str = "hawsepipe-workload:e2e";

/// The whole of the pause program: it only holds the sandbox's namespaces.
const PAUSE_SOURCE: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// Builds the pause image: static, one file.
pub(crate) fn pause(work: &Work) -> Result<PathBuf> {
    let root = fresh_root(work, "pause")?;
    let source = work.run_file("images/pause.c", PAUSE_SOURCE)?;
    cmd::run(
        Command::new("gcc")
            .args(["-static", "-Os", "-s", "-o"])
            .arg(root.join("pause"))
            .arg(source),
    )?;
    archive(work, "pause", PAUSE, &json!({"Entrypoint": ["/pause"]}))
}

/// Builds the workloads' image: busybox under every name it has.
pub(crate) fn workload(work: &Work) -> Result<PathBuf> {
    let root = fresh_root(work, "workload")?;
    let busybox =
        cmd::find("busybox").context("busybox is missing: apt-get install busybox-static")?;
    let bin = root.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(&busybox, bin.join("busybox"))?;
    for applet in cmd::run(Command::new(&busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            std::os::unix::fs::symlink("busybox", bin.join(applet))?;
        }
    }
    let config = json!({"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]});
    archive(work, "workload", &format!("docker.io/library/{WORKLOAD}"), &config)
}

/// Builds the agent's image, under the name that chart and manifests ask for: a static release binary
/// (`HAWSEPIPE_E2E_BINARY`, or compiled here), packed by the Dockerfile's last stage.
pub(crate) fn agent(work: &Work) -> Result<PathBuf> {
    let repository = Work::repository();
    let binary = match std::env::var_os("HAWSEPIPE_E2E_BINARY") {
        Some(binary) => PathBuf::from(binary),
        None => wait::step("cargo build --release (static)", || static_binary(repository))?,
    };
    let path = work.run_folder("images")?.join("agent.tar");
    wait::step("agent image", || {
        cmd::run(Command::new(repository.join(".ci/image")).arg(&binary).arg(&path))
    })?;
    Ok(path)
}

fn static_binary(repository: &Path) -> Result<PathBuf> {
    let version = cmd::run(Command::new("rustc").arg("-vV"))?;
    let target = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    // --target is named although it is the machine's own: only then do the flags leave build
    // scripts and procedural macros alone, which cannot be linked static.
    cmd::run(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "--package", "hawsepipe", "--target", target])
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .current_dir(repository),
    )?;
    Ok(repository.join("target").join(target).join("release/hawsepipe"))
}

fn fresh_root(work: &Work, name: &str) -> Result<PathBuf> {
    let root = work.run().join("images").join(name).join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(&root)?;
    Ok(root)
}

/// Packs `images/NAME/root` as an image of one layer: a tar of manifest.json, the config and the
/// layer (docker image specification v1.2).
fn archive(work: &Work, name: &str, tag: &str, config: &serde_json::Value) -> Result<PathBuf> {
    let folder = work.run().join("images").join(name);
    let tar = |from: &Path, to: &Path, what: &[&str]| {
        cmd::run(
            Command::new("tar")
                .args(["--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-C"])
                .arg(from)
                .arg("-cf")
                .arg(to)
                .args(what),
        )
    };
    let layer = folder.join("layer.tar");
    tar(&folder.join("root"), &layer, &["."])?;
    let digest = cmd::run(Command::new("sha256sum").arg(&layer))?;
    let digest = digest.split(' ').next().context("sha256sum printed nothing")?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no image can be built for {other}"),
    };
    let image = json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]);
    fs::write(folder.join("config.json"), image.to_string())?;
    fs::write(folder.join("manifest.json"), manifest.to_string())?;
    let path = work.run().join("images").join(format!("{name}.tar"));
    tar(&folder, &path, &["manifest.json", "config.json", "layer.tar"])?;
    Ok(path)
}
