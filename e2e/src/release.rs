pub(crate) const NAMESPACE: &str = "hawsepipe";
