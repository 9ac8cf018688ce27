//! Texts with variables in braces.

use std::fmt;

use http::HeaderName;

use super::diagnostic::Fact;
use super::nearest::{list, nearest};

/// A text with variables in braces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template(pub Vec<TemplatePart>);

impl fmt::Display for Template {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            TemplatePart::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            TemplatePart::Variable(Variable::Header(name)) => write!(f, "{{header.{name}}}"),
            TemplatePart::Variable(Variable::Cookie(name)) => write!(f, "{{cookie.{name}}}"),
            TemplatePart::Variable(variable) => write!(f, "{{{}}}", variable.name()),
        })
    }
}

/// A part of a [`Template`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TemplatePart {
    /// This text. `{{` stands for a brace.
    Literal(Box<str>),
    /// The value of a variable.
    Variable(Variable),
}

/// What may stand in a [`Template`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Variable {
    /// `{client_ip}`.
    ClientIp,
    /// `{client_port}`.
    ClientPort,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{host}`: the canonical host, without port.
    Host,
    /// `{port}`: the port of the authority, else the scheme's.
    Port,
    /// `{method}`.
    Method,
    /// `{path}`: the canonical path.
    Path,
    /// `{query}`: without `?`, may be empty.
    Query,
    /// `{uri}`: path, and `?` and query if there is one.
    Uri,
    /// `{request_id}`.
    RequestId,
    /// `{listener}`.
    Listener,
    /// `{route}`.
    Route,
    /// `{sni}`: the host that the client asked for by TLS; empty without.
    Sni,
    /// `{ja4}`: what kind of client it is, by its ClientHello; empty without TLS.
    Ja4,
    /// `{header.NAME}`: of the request.
    Header(HeaderName),
    /// `{cookie.NAME}`.
    Cookie(Box<str>),
}

impl Variable {
    /// Its name; of a field or cookie, what stands before theirs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClientIp => "client_ip",
            Self::ClientPort => "client_port",
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::Port => "port",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Uri => "uri",
            Self::RequestId => "request_id",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Sni => "sni",
            Self::Ja4 => "ja4",
            Self::Header(_) => "header",
            Self::Cookie(_) => "cookie",
        }
    }
}

/// Variables with one name.
const PLAIN: [Variable; 14] = [
    Variable::ClientIp,
    Variable::ClientPort,
    Variable::Scheme,
    Variable::Host,
    Variable::Port,
    Variable::Method,
    Variable::Path,
    Variable::Query,
    Variable::Uri,
    Variable::RequestId,
    Variable::Listener,
    Variable::Route,
    Variable::Sni,
    Variable::Ja4,
];

/// Variables that name what they are taken from.
const OF: [&str; 2] = ["header.NAME", "cookie.NAME"];

/// Why a text is no template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadTemplate {
    /// A brace is opened and not closed.
    #[error("a brace is opened and not closed")]
    Open,
    /// A brace is closed that was not opened.
    #[error("a brace is closed that was not opened")]
    Close,
    /// There is no such variable.
    #[error("there is no variable {{{0}}}")]
    Unknown(Box<str>),
    /// What stands after `header.` or `cookie.` is no name.
    #[error("{{{0}}} names nothing that a request can have")]
    BadName(Box<str>),
}

impl Fact for BadTemplate {
    fn help(&self) -> Option<String> {
        let known = || PLAIN.iter().map(Variable::name).chain(OF);
        Some(match self {
            Self::Open => "for a brace itself write {{".to_owned(),
            Self::Close => "for a brace itself write }}".to_owned(),
            Self::Unknown(name) => match nearest(name, known()) {
                Some(right) => format!("did you mean {{{right}}}? Variables are: {}", list(known())),
                None => format!("variables are: {}; for a brace itself write {{{{", list(known())),
            },
            Self::BadName(_) => "write it as: {header.x-name} or {cookie.name}".to_owned(),
        })
    }
}

/// Reads a text with variables. With `groups`, `${…}` stays as it is: it is the group of a regular expression.
pub(super) fn parse_template(text: &str, groups: bool) -> Result<Template, BadTemplate> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            literal.push_str(&from[..1]);
            rest = after;
            continue;
        }
        let inside = from.strip_prefix('{').ok_or(BadTemplate::Close)?;
        let (name, after) = inside.split_once('}').ok_or(BadTemplate::Open)?;
        rest = after;
        if groups && literal.ends_with('$') {
            literal.extend(["{", name, "}"]);
            continue;
        }
        let variable = variable(name)?;
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(std::mem::take(&mut literal).into()));
        }
        parts.push(TemplatePart::Variable(variable));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Literal(literal.into()));
    }
    Ok(Template(parts))
}

fn variable(name: &str) -> Result<Variable, BadTemplate> {
    if let Some(variable) = PLAIN.iter().find(|plain| plain.name() == name) {
        return Ok(variable.clone());
    }
    let bad = || BadTemplate::BadName(name.into());
    match name.split_once('.') {
        Some(("header", field)) => field.parse::<HeaderName>().map(Variable::Header).map_err(|_| bad()),
        Some(("cookie", cookie)) if is_token(cookie) => Ok(Variable::Cookie(cookie.into())),
        Some(("cookie", _)) => Err(bad()),
        _ => Err(BadTemplate::Unknown(name.into())),
    }
}

/// Whether a text is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> TemplatePart {
        TemplatePart::Literal(text.into())
    }

    #[test]
    fn variables_stand_in_braces_and_doubled_braces_stand_for_themselves() {
        let parts = |text: &str| parse_template(text, false).unwrap().0;
        let host = || TemplatePart::Variable(Variable::Host);
        assert_eq!(parts("https://{host}/x"), [literal("https://"), host(), literal("/x")]);
        assert_eq!(parts("{host}{host}"), [host(), host()]);
        assert_eq!(parts("{{{host}}}"), [literal("{"), host(), literal("}")]);
        assert_eq!(parts("${host}"), [literal("$"), host()]);
        assert_eq!(parts(""), []);
        let header = Variable::Header(HeaderName::from_static("x-user"));
        assert_eq!(parts("{header.X-User}"), [TemplatePart::Variable(header)]);
        assert_eq!(parts("{cookie.a}"), [TemplatePart::Variable(Variable::Cookie("a".into()))]);
    }

    #[test]
    fn groups_of_a_regular_expression_stay() {
        let parts = |text: &str| parse_template(text, true).unwrap().0;
        assert_eq!(parts("/x/${name}/$1"), [literal("/x/${name}/$1")]);
        assert_eq!(parts("/x{path}"), [literal("/x"), TemplatePart::Variable(Variable::Path)]);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let wrong = |text: &str| parse_template(text, false).unwrap_err();
        assert_eq!(wrong("{host"), BadTemplate::Open);
        assert_eq!(wrong("host}"), BadTemplate::Close);
        assert_eq!(wrong("{hst}"), BadTemplate::Unknown("hst".into()));
        assert_eq!(wrong("{header.}"), BadTemplate::BadName("header.".into()));
        assert_eq!(wrong("{cookie.a b}"), BadTemplate::BadName("cookie.a b".into()));
        assert_eq!(wrong("{}"), BadTemplate::Unknown("".into()));
    }
}
