//! `request_headers` and `response_headers`: changes to fields.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::service::{LocalService, Step};
use super::trailing::keep_out;
use crate::config::HeaderEdits;
use crate::l7::request::{Request, Response};
use crate::l7::template::{Text, Values};

/// Changes to a request's fields.
#[derive(Debug)]
pub(super) struct RequestFields {
    edits: Edits,
    /// All that are changed.
    names: Arc<[HeaderName]>,
}

/// Changes to an answer's fields.
#[derive(Debug)]
pub(super) struct ResponseFields(Edits);

#[derive(Debug)]
struct Edits {
    route: Box<str>,
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, Text)>,
    add: Vec<(HeaderName, Text)>,
}

impl RequestFields {
    pub(super) fn new(route: &str, edits: &HeaderEdits) -> Self {
        let changed = edits.set.iter().chain(&edits.add).map(|(name, _)| name);
        let names = edits.remove.iter().chain(changed).cloned().collect();
        Self { edits: Edits::new(route, edits), names }
    }
}

impl ResponseFields {
    pub(super) fn new(route: &str, edits: &HeaderEdits) -> Self {
        Self(Edits::new(route, edits))
    }
}

impl Step for RequestFields {
    async fn answer(&self, mut request: Request, next: &LocalService) -> Response {
        let values = self.edits.values(&request);
        self.edits.apply(&mut request.headers, values);
        keep_out(&mut request, &self.names);
        next.answer(request).await
    }
}

impl Step for ResponseFields {
    async fn answer(&self, request: Request, next: &LocalService) -> Response {
        // Of the request as it came: other steps change it, and the answer's side does not see it any more.
        let values = self.0.values(&request);
        let mut response = next.answer(request).await;
        self.0.apply(response.headers_mut(), values);
        response
    }
}

impl Edits {
    fn new(route: &str, edits: &HeaderEdits) -> Self {
        let texts = |edits: &[(HeaderName, _)]| {
            edits.iter().map(|(name, template)| (name.clone(), Text::new(template))).collect()
        };
        let (set, add) = (texts(&edits.set), texts(&edits.add));
        Self { route: route.into(), remove: edits.remove.clone(), set, add }
    }

    /// All values before any change: none sees the change of another.
    fn values(&self, request: &Request) -> Vec<HeaderValue> {
        let values = Values { request, route: &self.route };
        self.set.iter().chain(&self.add).map(|(_, text)| text.value(values)).collect()
    }

    fn apply(&self, headers: &mut HeaderMap, values: Vec<HeaderValue>) {
        for name in &self.remove {
            headers.remove(name);
        }
        let names = self.set.iter().chain(&self.add).map(|(name, _)| name);
        for (at, (name, value)) in names.zip(values).enumerate() {
            if at < self.set.len() {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Template, TemplatePart, Variable};
    use crate::l7::testing::{request, with};

    fn name(name: &'static str) -> HeaderName {
        HeaderName::from_static(name)
    }

    fn text(text: &str) -> Template {
        Template(vec![TemplatePart::Literal(text.into())])
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let edits = HeaderEdits {
            remove: vec![name("x-gone"), name("x-back")],
            set: vec![(name("x-set"), text("1")), (name("x-back"), text("2"))],
            add: vec![(name("x-add"), text("3")), (name("x-set"), text("4"))],
        };
        let mut request = request("/");
        for (name, value) in
            [("x-gone", "a"), ("x-back", "a"), ("x-set", "a"), ("x-set", "b"), ("x-add", "a")]
        {
            request = with(request, name, value);
        }
        let edits = Edits::new("r", &edits);
        let values = edits.values(&request);
        edits.apply(&mut request.headers, values);
        let all = |name: &str| -> Vec<_> { request.headers.get_all(name).iter().collect() };
        assert_eq!(request.headers.len(), 5);
        assert_eq!(all("x-back"), ["2"]);
        assert_eq!(all("x-set"), ["1", "4"]);
        assert_eq!(all("x-add"), ["a", "3"]);
    }

    #[test]
    fn values_are_of_the_fields_as_they_came() {
        let header = |name| Template(vec![TemplatePart::Variable(Variable::Header(name))]);
        let edits = HeaderEdits {
            set: vec![(name("a"), header(name("b"))), (name("b"), header(name("a")))],
            ..HeaderEdits::default()
        };
        let edits = Edits::new("r", &edits);
        let mut request = with(with(request("/"), "a", "1"), "b", "2");
        let values = edits.values(&request);
        edits.apply(&mut request.headers, values);
        assert_eq!(
            (&request.headers["a"], &request.headers["b"]),
            (&"2".parse().unwrap(), &"1".parse().unwrap())
        );
    }
}
