//! Kubernetes, CoreDNS, Helm and what Hawsepipe is compared with, built from their Go modules and kept by version: only the first
//! run pays (about 12 minutes on two cores). Go's own settings (`GOFLAGS`, `GOPROXY`, ..) are used
//! as they are.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::work::Work;
use crate::{cmd, wait};

/// The oldest Go that builds these versions.
const GO: (u32, u32) = (1, 24);

/// Something built from a Go module.
pub(crate) struct Tool {
    /// The folder's name, and what `cargo e2e tools` takes.
    pub(crate) name: &'static str,
    /// The module's version.
    pub(crate) version: &'static str,
    /// The binaries, the main one first.
    pub(crate) binaries: &'static [&'static str],
    source: Source,
}

enum Source {
    /// `go install` of one package.
    Install { package: &'static str, ldflags: &'static str },
    /// The program that is the module itself, which `go install` refuses because its go.mod replaces others: a module that
    /// requires it can build it.
    Required { module: &'static str },
    /// `k8s.io/kubernetes`: its staging modules are named by relative `replace`, so it cannot be
    /// installed; a module that requires it, with those replaces, can be built.
    Kubernetes { staging: &'static str },
}

/// v1.34 is the last that starts on cgroup v1 without being asked to.
pub(crate) const KUBERNETES: Tool = Tool {
    name: "kubernetes",
    version: "v1.34.4",
    binaries: &[
        "kubectl",
        "kube-apiserver",
        "kube-controller-manager",
        "kubelet",
        "kube-scheduler",
        "kube-proxy",
    ],
    source: Source::Kubernetes { staging: "v0.34.4" },
};

/// The cluster's DNS.
pub(crate) const COREDNS: Tool = Tool {
    name: "coredns",
    version: "v1.12.4",
    binaries: &["coredns"],
    source: Source::Install { package: "github.com/coredns/coredns", ldflags: "" },
};

/// Helm, for the chart.
pub(crate) const HELM: Tool = Tool {
    name: "helm",
    version: "v4.2.4",
    binaries: &["helm"],
    source: Source::Install {
        package: "helm.sh/helm/v4/cmd/helm",
        ldflags: "-X helm.sh/helm/v4/internal/version.version=v4.2.4",
    },
};

/// What object state is compared with; no suite needs it.
pub(crate) const KUBE_STATE_METRICS: Tool = Tool {
    name: "kube-state-metrics",
    version: "v2.18.0",
    binaries: &["kube-state-metrics"],
    source: Source::Required { module: "k8s.io/kube-state-metrics/v2" },
};

/// Those that the cluster needs, the quickest first.
pub(crate) const ALL: &[&Tool] = &[&HELM, &KUBERNETES, &COREDNS];

/// The tool of that name (or that holds that binary).
pub(crate) fn by_name(name: &str) -> Result<&'static Tool> {
    ALL.iter()
        .chain(&[&KUBE_STATE_METRICS])
        .copied()
        .find(|tool| tool.name == name || tool.binaries.contains(&name))
        .with_context(|| {
            format!("no tool {name}; there are helm, kubernetes, coredns and kube-state-metrics")
        })
}

/// The folder with the tool's binaries; they are built when they are not there.
pub(crate) fn ensure(work: &Work, tool: &Tool) -> Result<PathBuf> {
    let folder = work.tool(tool.name, tool.version);
    if tool.binaries.iter().all(|binary| folder.join(binary).is_file()) {
        return Ok(folder);
    }
    check_go()?;
    let building =
        folder.with_file_name(format!("{}-{}.{}", tool.name, tool.version, std::process::id()));
    fs::create_dir_all(&building)?;
    match &tool.source {
        Source::Install { package, ldflags } => {
            wait::step(&format!("go install {package}@{}", tool.version), || {
                let flags = format!("-s -w {ldflags}");
                cmd::run(
                    go().args(["install", "-trimpath", "-ldflags", &flags])
                        .arg(format!("{package}@{}", tool.version))
                        .env("GOBIN", &building),
                )
            })?;
        }
        Source::Required { module } => build_required(tool, module, &building)?,
        Source::Kubernetes { staging } => build_kubernetes(tool, staging, &building)?,
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&building, &folder)?;
    Ok(folder)
}

fn build_required(tool: &Tool, package: &str, building: &Path) -> Result<()> {
    let (version, (major, minor)) = (tool.version, GO);
    let module = building.join("module");
    fs::create_dir_all(&module)?;
    let go_mod = format!("module tools\n\ngo {major}.{minor}.0\n\nrequire {package} {version}\n");
    fs::write(module.join("go.mod"), go_mod)?;
    let import = format!("//go:build tools\n\npackage tools\n\nimport _ \"{package}\"\n");
    fs::write(module.join("tools.go"), import)?;
    wait::step(&format!("go build {package} {version}"), || {
        cmd::run(go().args(["mod", "tidy"]).current_dir(&module))?;
        let mut build = go();
        build.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]);
        let output = building.join(tool.binaries[0]);
        cmd::run(build.arg(output).arg(package).current_dir(&module))
    })?;
    fs::remove_dir_all(&module)?;
    Ok(())
}

fn build_kubernetes(tool: &Tool, staging: &str, building: &Path) -> Result<()> {
    let version = tool.version;
    let module = building.join("module");
    fs::create_dir_all(&module)?;
    wait::step("k8s.io/kubernetes: module", || {
        let download = cmd::run(
            go().args(["mod", "download", "-json"]).arg(format!("k8s.io/kubernetes@{version}")),
        )?;
        let download: serde_json::Value = serde_json::from_str(&download)?;
        let upstream = download["GoMod"].as_str().context("go mod download names no go.mod")?;
        let go_mod = tools_module(&fs::read_to_string(upstream)?, version, staging);
        fs::write(module.join("go.mod"), go_mod)?;
        fs::write(module.join("tools.go"), imports(tool.binaries))?;
        cmd::run(go().args(["mod", "tidy"]).current_dir(&module))
    })?;
    // Without these the kubelet reports v0.0.0-master and version checks fail.
    let of = "k8s.io/component-base/version";
    let flags =
        format!("-s -w -X {of}.gitVersion={version} -X {of}.gitMajor=1 -X {of}.gitMinor=34");
    for binary in tool.binaries {
        wait::step(&format!("go build {binary} {version}"), || {
            cmd::run(
                go().args(["build", "-trimpath", "-ldflags", &flags, "-o"])
                    .arg(building)
                    .arg(format!("k8s.io/kubernetes/cmd/{binary}"))
                    .current_dir(&module),
            )
        })?;
    }
    fs::remove_dir_all(&module)?;
    Ok(())
}

/// A go.mod that requires Kubernetes and replaces every staging module that upstream's go.mod
/// names by a path (`k8s.io/api => ./staging/src/k8s.io/api`) by its published version.
fn tools_module(upstream: &str, version: &str, staging: &str) -> String {
    let mut module = format!(
        "module tools\n\ngo {}.{}.0\n\nrequire k8s.io/kubernetes {version}\n\n",
        GO.0, GO.1
    );
    for line in upstream.lines() {
        if let Some((name, target)) = line.trim().split_once(" => ")
            && target.starts_with("./staging/")
        {
            let name = name.trim_start_matches("replace ");
            let _ = writeln!(module, "replace {name} => {name} {staging}");
        }
    }
    module
}

fn imports(binaries: &[&str]) -> String {
    let mut source = String::from("//go:build tools\n\npackage tools\n\nimport (\n");
    for binary in binaries {
        let _ = writeln!(source, "\t_ \"k8s.io/kubernetes/cmd/{binary}\"");
    }
    source.push_str(")\n");
    source
}

fn go() -> Command {
    let mut command = Command::new("go");
    command.env("CGO_ENABLED", "0");
    command
}

fn check_go() -> Result<()> {
    let (major, minor) = GO;
    let remedy =
        format!("Go {major}.{minor} or newer must be on the PATH (https://go.dev/dl/) to build it");
    let found = cmd::run(Command::new("go").args(["env", "GOVERSION"]))
        .with_context(|| format!("no Go here: {remedy}"))?;
    let mut numbers = found
        .trim()
        .trim_start_matches("go")
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < GO {
        bail!("Go is {}: {remedy}", found.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_staging_module_is_replaced_by_its_published_version() {
        let upstream = "module k8s.io/kubernetes\n\nreplace (\n\tk8s.io/api => \
                        ./staging/src/k8s.io/api\n\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet\n\
                        \texample.com/a => example.com/b v1\n)\n";
        let module = tools_module(upstream, "v1.34.4", "v0.34.4");
        assert!(module.contains("require k8s.io/kubernetes v1.34.4\n"));
        assert!(module.contains("replace k8s.io/api => k8s.io/api v0.34.4\n"));
        assert!(module.contains("replace k8s.io/kubelet => k8s.io/kubelet v0.34.4\n"));
        assert!(!module.contains("example.com"));
    }

    #[test]
    fn a_tool_is_found_by_its_name_and_by_a_binary_it_holds() {
        assert_eq!(by_name("helm").unwrap().name, "helm");
        assert_eq!(by_name("kubelet").unwrap().name, "kubernetes");
        assert!(by_name("nonesuch").is_err());
    }
}
