//! Image references, taken apart.
//!
//! In: what `spec.containers[].image` and `status.containerStatuses[].imageID` hold. Out: the name, tag and digest
//! for OpenTelemetry's `container.image.*` and `service.version`. The grammar is that of
//! <https://github.com/distribution/reference/blob/main/reference.go>: `name[:tag][@digest]`, where the name may
//! begin with a registry's host and port.

/// An image reference, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRef<'a> {
    /// The name as it was written: OpenTelemetry's `container.image.name` ("name of the image the container was
    /// built on") neither adds nor strips `docker.io/library/`.
    pub name: &'a str,
    /// The tag, empty if there is none.
    pub tag: &'a str,
    /// The digest with its algorithm (`sha256:..`), empty if there is none.
    pub digest: &'a str,
}

impl<'a> ImageRef<'a> {
    /// Takes `reference` apart. Never fails: what is no reference is all name.
    #[must_use]
    pub fn parse(reference: &'a str) -> Self {
        let (rest, digest) = reference.split_once('@').unwrap_or((reference, ""));
        // A colon before the last slash belongs to the registry's port.
        match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => Self { name, tag, digest },
            _ => Self { name: rest, tag: "", digest },
        }
    }

    /// The tag that the runtime pulls: with neither tag nor digest that is `latest`
    /// (<https://kubernetes.io/docs/concepts/containers/images/#image-names>).
    #[must_use]
    pub fn effective_tag(&self) -> Option<&'a str> {
        match (self.tag, self.digest) {
            ("", "") if !self.name.is_empty() => Some("latest"),
            ("", _) => None,
            (tag, _) => Some(tag),
        }
    }

    /// `service.version` of an image: `<tag>@<digest>`, `<digest>` or `<tag>`, whichever is there first
    /// (semantic conventions, "How `service.version` should be calculated").
    pub(crate) fn version(&self) -> String {
        match (self.tag, self.digest) {
            (tag, "") => tag.to_owned(),
            ("", digest) => digest.to_owned(),
            (tag, digest) => format!("{tag}@{digest}"),
        }
    }
}

/// The repository digest that a status' `imageID` names, if it names one: `docker.io/library/redis@sha256:..`, with
/// or without `docker-pullable://`. A bare `sha256:..` is the id of an image that was loaded and has no repository.
pub(crate) fn repo_digest(image_id: &str) -> Option<&str> {
    let digest = without_scheme(image_id);
    digest.contains('@').then_some(digest)
}

/// Strips the runtime from `containerd://ID`, `cri-o://ID`, `docker://ID`.
pub(crate) fn without_scheme(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:afcc7f1ac1b49db317a7196c902e61c6c3c4607d63599ee1a82d702d249a0ccb";

    #[test]
    fn references_come_apart_by_the_grammar_of_distribution() {
        let with_digest = format!("registry:5000/team/app:1.2@{DIGEST}");
        let only_digest = format!("gcr.io/opentelemetry/operator@{DIGEST}");
        for (reference, name, tag, digest) in [
            ("redis", "redis", "", ""),
            ("redis:7.4-alpine", "redis", "7.4-alpine", ""),
            ("docker.io/library/redis:7", "docker.io/library/redis", "7", ""),
            ("registry:5000/app", "registry:5000/app", "", ""),
            ("registry:5000/app:v1", "registry:5000/app", "v1", ""),
            ("[fd00::1]:5000/app:v1", "[fd00::1]:5000/app", "v1", ""),
            (&with_digest, "registry:5000/team/app", "1.2", DIGEST),
            (&only_digest, "gcr.io/opentelemetry/operator", "", DIGEST),
            ("", "", "", ""),
        ] {
            assert_eq!(ImageRef::parse(reference), ImageRef { name, tag, digest }, "{reference}");
        }
    }

    #[test]
    fn an_image_without_tag_and_digest_is_latest_but_has_no_version() {
        let image = ImageRef::parse("registry:5000/app");
        assert_eq!(image.effective_tag(), Some("latest"));
        assert_eq!(image.version(), "");
        let pinned = format!("app@{DIGEST}");
        assert_eq!(ImageRef::parse(&pinned).effective_tag(), None);
    }

    #[test]
    fn the_version_prefers_tag_and_digest_then_digest_then_tag() {
        let both = format!("app:1@{DIGEST}");
        let digest = format!("app@{DIGEST}");
        assert_eq!(ImageRef::parse(&both).version(), format!("1@{DIGEST}"));
        assert_eq!(ImageRef::parse(&digest).version(), DIGEST);
        assert_eq!(ImageRef::parse("app:1").version(), "1");
    }

    #[test]
    fn only_a_repository_digest_is_one() {
        let pulled = format!("docker.io/library/redis@{DIGEST}");
        assert_eq!(repo_digest(&pulled), Some(pulled.as_str()));
        let docker = format!("docker-pullable://redis@{DIGEST}");
        assert_eq!(repo_digest(&docker), docker.strip_prefix("docker-pullable://"));
        assert_eq!(repo_digest(DIGEST), None);
        assert_eq!(repo_digest(""), None);
    }
}
