//! The text format of Prometheus (version 0.0.4).

use std::fmt::Write;

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
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
        self.text.push_str(self.name);
        for (i, (label, value)) in labels.iter().enumerate() {
            self.text.push(if i == 0 { '{' } else { ',' });
            writes(self.text, format_args!("{label}=\"{}\"", escaped(value)));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writes(self.text, format_args!(" {}\n", value.into()));
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

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
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
