//! What the API server says of itself on `/metrics`, whoever asked.
//!
//! In: the page. Out: sums over series. Always: what is compared is the difference of two pages of one process.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::cluster::Cluster;

/// A page: the value of each series.
pub(crate) struct Page {
    series: BTreeMap<String, f64>,
}

impl Page {
    /// Asks for it.
    pub(crate) fn ask(cluster: &Cluster) -> Result<Self> {
        Ok(Self::read(&cluster.kubectl(&["get", "--raw", "/metrics"])?))
    }

    /// Of this text.
    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            // A label's value may have a space.
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self { series: series.collect() }
    }

    /// The sum over all series of a metric that have one of these labels each, as in `verb="WATCH"`.
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let end = format!("{metric}~");
        let range = self.series.range(metric.to_owned()..end);
        let chosen = range.filter(|(series, _)| {
            let rest = &series[metric.len()..];
            (rest.is_empty() || rest.starts_with('{'))
                && labels.iter().all(|label| rest.contains(label))
        });
        chosen.map(|(_, value)| value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_are_summed_and_not_those_of_its_namesakes() {
        let page = Page::read(
            "# TYPE a_total counter\na_total{verb=\"LIST\",what=\"x y\"} 2\na_total{verb=\"WATCH\"} 3\na_total_more 7\nb 1e+06\n",
        );
        assert_eq!(page.sum("a_total", &[]), 5.0);
        assert_eq!(page.sum("a_total", &["verb=\"LIST\""]), 2.0);
        assert_eq!(page.sum("b", &[]), 1e6);
        assert_eq!(page.sum("a", &[]), 0.0);
    }
}
