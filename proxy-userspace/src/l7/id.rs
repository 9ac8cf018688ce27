//! The id of a request: what log lines of several programs have in common.

use http::HeaderValue;

/// An id. Visible ASCII.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Id {
    /// A trusted proxy's.
    Given(HeaderValue),
    /// Ours: 128 random bits in hexadecimal. No secret.
    Made([u8; 32]),
}

/// No id of others is longer.
const LONGEST: usize = 128;

impl Id {
    /// What a trusted proxy gave, if it can be one.
    pub fn given(value: HeaderValue) -> Option<Self> {
        let is_id =
            !value.is_empty() && value.len() <= LONGEST && value.as_bytes().iter().all(u8::is_ascii_graphic);
        is_id.then_some(Self::Given(value))
    }

    /// One of our own.
    pub fn make() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = fastrand::u128(..);
        Self::Made(std::array::from_fn(|at| DIGITS[(bits >> (4 * at)) as usize & 15]))
    }

    /// As it is written.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(value) => value.as_bytes(),
            Self::Made(text) => text,
        }
    }

    /// As the value of a field.
    pub fn value(&self) -> HeaderValue {
        match self {
            Self::Given(value) => value.clone(),
            // Hexadecimal digits are one.
            Self::Made(text) => HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_text_of_some_length_is_an_id() {
        for (text, is) in [("", false), ("a b", false), ("a-1", true), (&"x".repeat(LONGEST + 1), false)] {
            assert_eq!(Id::given(HeaderValue::from_str(text).unwrap()).is_some(), is, "{text}");
        }
    }

    #[test]
    fn an_id_of_ours_is_128_bits_and_another_each_time() {
        let (one, other) = (Id::make(), Id::make());
        assert_ne!(one, other);
        assert_eq!(one.value().as_bytes(), one.as_bytes());
        assert!(u128::from_str_radix(one.value().to_str().unwrap(), 16).is_ok());
    }
}
