//! The text format of Prometheus (version 0.0.4).

use std::borrow::Cow;
use std::fmt::Write;

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many were at most so large, and the sum of all.
    Histogram,
    /// How many there were, and the sum of all.
    Summary,
}

/// A text that grows, metric by metric.
#[derive(Clone, Default, Debug)]
pub struct Text {
    text: String,
}

/// One metric of a text.
#[derive(Debug)]
pub struct Metric<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins a metric. All samples of a metric stand together, so it is begun once.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> Metric<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        writes(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Metric { text: &mut self.text, name }
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

impl Metric<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<f64>) -> &mut Self {
        self.part("", labels, None, value.into())
    }

    /// A histogram: how many were at most as large as each bound, but larger than the one before, and at the end how
    /// many were larger than all.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) -> &mut Self {
        let mut total = 0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(counts) {
            total += count;
            self.part("_bucket", labels, Some(bound), total as f64);
        }
        self.summary(labels, total, sum)
    }

    /// How many there were, and the sum of all.
    pub fn summary(&mut self, labels: &[(&str, &str)], count: u64, sum: f64) -> &mut Self {
        self.part("_sum", labels, None, sum).part("_count", labels, None, count as f64)
    }

    fn part(&mut self, end: &str, labels: &[(&str, &str)], bound: Option<f64>, value: f64) -> &mut Self {
        writes(self.text, format_args!("{}{end}", self.name));
        let mut before = '{';
        for (label, value) in labels {
            writes(self.text, format_args!("{before}{label}=\"{}\"", escaped(value)));
            before = ',';
        }
        match bound {
            Some(f64::INFINITY) => writes(self.text, format_args!("{before}le=\"+Inf\"")),
            Some(bound) => writes(self.text, format_args!("{before}le=\"{bound}\"")),
            None => {}
        }
        if bound.is_some() || !labels.is_empty() {
            self.text.push('}');
        }
        writes(self.text, format_args!(" {value}\n"));
        self
    }

    /// One sample of a counter: a float holds it exactly up to 2^53.
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.sample(labels, value as f64)
    }
}

fn writes(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string cannot fail");
}

fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_written_as_prometheus_reads_it() {
        let mut text = Text::default();
        text.metric("a_total", Kind::Counter, "How often.")
            .count(&[], 3)
            .count(&[("x", "a\"b"), ("y", "1")], 4);
        text.metric("b", Kind::Gauge, "Now.").sample(&[], 0.5);
        let expected = "# HELP a_total How often.\n# TYPE a_total counter\na_total 3\n\
                        a_total{x=\"a\\\"b\",y=\"1\"} 4\n# HELP b Now.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(text.finish(), expected);
    }
}
