//! What middleware is told: users, media types, texts with variables.

use super::parsed::{Parsed, bad};
use crate::config::diagnostic::Fact;
use crate::config::template::{is_token, parse_template};
use crate::config::web::{Template, TemplatePart};

/// bcrypt hashes of a lower cost are worth nothing, of a higher one take seconds a try.
const BCRYPT_COST: std::ops::RangeInclusive<u8> = 4..=15;

/// The name of a user.
pub(in crate::config) const USER: Parsed<Box<str>> = Parsed {
    wanted: "the name of a user",
    example: "\"alice\"",
    pattern: "^[^:]+$",
    parse: |text| check_user(text).map(|()| text.into()).or_else(bad),
};

/// A bcrypt hash.
pub(in crate::config) const BCRYPT: Parsed<Box<str>> = Parsed {
    wanted: "a bcrypt hash",
    example: "\"$2y$10$…\"",
    pattern: "^\\$2[abxy]\\$[0-9]{2}\\$[./A-Za-z0-9]{53}$",
    parse: |text| check_hash(text).map(|()| text.into()).or_else(bad),
};

/// What people are shown.
pub(in crate::config) const REALM: Parsed<Box<str>> = Parsed {
    wanted: "a text",
    example: "\"staff only\"",
    pattern: "",
    parse: |text| match text.chars().all(|c| !c.is_control()) {
        true => Ok(text.into()),
        false => bad(BadText::Control),
    },
};

/// A media type, or all of a kind: `text/*`.
pub(in crate::config) const MEDIA_TYPE: Parsed<Box<str>> = Parsed {
    wanted: "a media type",
    example: "\"text/*\"",
    pattern: "^[^/ ]+/[^/ ]+$",
    parse: |text| match text.split_once('/') {
        Some((kind, "*")) if is_token(kind) && kind != "*" => Ok(text.to_ascii_lowercase().into()),
        Some((kind, name)) if is_token(kind) && is_token(name) && !text.contains('*') => {
            Ok(text.to_ascii_lowercase().into())
        }
        _ => bad(BadText::MediaType),
    },
};

/// The value of a field, with variables.
pub(in crate::config) const FIELD_TEMPLATE: Parsed<Template> = Parsed {
    wanted: "a text with variables",
    example: "\"{client_ip}\"",
    pattern: "",
    parse: |text| {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return bad(BadText::Control);
        }
        parse_template(text, false).or_else(bad)
    },
};

/// A path with variables, and with groups of a regular expression.
pub(in crate::config) const PATH_TEMPLATE: Parsed<Template> = Parsed {
    wanted: "a path with variables",
    example: "\"/v2{path}\"",
    pattern: "",
    parse: |text| {
        let template = parse_template(text, true).or_else(bad)?;
        let plain = |part: &TemplatePart| match part {
            TemplatePart::Literal(text) => {
                text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte))
            }
            TemplatePart::Variable(_) => true,
        };
        if template.0.iter().all(plain) { Ok(template) } else { bad(BadText::Path) }
    },
};

/// Whether a text can be the name of a user (RFC 7617 §2).
pub(in crate::config) fn check_user(user: &str) -> Result<(), BadUser> {
    let good = !user.is_empty() && user.chars().all(|c| !c.is_control() && c != ':');
    if good { Ok(()) } else { Err(BadUser::Name) }
}

/// Whether a text is a bcrypt hash of a cost that can be afforded.
pub(in crate::config) fn check_hash(hash: &str) -> Result<(), BadUser> {
    let rest = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().find_map(|prefix| hash.strip_prefix(prefix));
    let (cost, digest) = rest.and_then(|rest| rest.split_once('$')).ok_or(BadUser::Hash)?;
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost = cost.parse::<u8>().ok().filter(|_| digits).ok_or(BadUser::Hash)?;
    if digest.len() != 53 || !digest.bytes().all(alphabet) {
        return Err(BadUser::Hash);
    }
    if BCRYPT_COST.contains(&cost) { Ok(()) } else { Err(BadUser::Cost(cost)) }
}

/// Why somebody cannot ask.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::config) enum BadUser {
    #[error("a user's name is not empty and has no colon")]
    Name,
    #[error("this is no bcrypt hash")]
    Hash,
    #[error("the hash has a cost of {0}; allowed is 4 to 15")]
    Cost(u8),
}

impl Fact for BadUser {
    fn help(&self) -> Option<String> {
        match self {
            Self::Name => None,
            Self::Hash | Self::Cost(_) => Some("make one with: htpasswd -nB -C 10 USER".to_owned()),
        }
    }
}

/// Why a text will not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum BadText {
    #[error("there is a control character in it")]
    Control,
    #[error("this is no media type")]
    MediaType,
    #[error("a path has no space, ?, #, \\ and only ASCII characters")]
    Path,
}

impl Fact for BadText {
    fn help(&self) -> Option<String> {
        match self {
            Self::Control => None,
            Self::MediaType => Some("write it as: \"text/html\" or \"text/*\"".to_owned()),
            Self::Path => Some("write it as: \"/v2{path}\"; the query stays as it is".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_one_of_bcrypt_and_can_be_afforded() {
        let digest = "zVmz3EoGRGvTRGm8cMFCT.vH1mB7RHwk2aNh3LtDJBFAm5VhqJ9gW";
        assert_eq!(check_hash(&format!("$2y$10${digest}")), Ok(()));
        assert_eq!(check_hash(&format!("$2y$31${digest}")), Err(BadUser::Cost(31)));
        assert_eq!(check_hash(&format!("$2y$+9${digest}")), Err(BadUser::Hash));
        assert_eq!(check_hash(&format!("$2y$10${}", &digest[1..])), Err(BadUser::Hash));
        assert_eq!(check_hash("$apr1$x$y"), Err(BadUser::Hash));
        assert_eq!(check_hash("secret"), Err(BadUser::Hash));
    }
}
