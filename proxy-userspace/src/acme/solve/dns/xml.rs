//! As much of XML as Route 53's answers have: elements without attributes that matter, nothing nested in itself.

use std::borrow::Cow;

/// What stands in each `<tag>`.
pub(super) fn elements<'a>(text: &'a str, tag: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('<')?;
            rest = after;
            let Some(after) = rest.strip_prefix(tag) else { continue };
            // `<tag>`, or `<tag xmlns=...>`, and not `<tags>`.
            let Some(after) =
                after.strip_prefix('>').or_else(|| after.strip_prefix(' ')?.split_once('>').map(|s| s.1))
            else {
                continue;
            };
            let (inner, end) = after.split_once(&format!("</{tag}>"))?;
            rest = end;
            return Some(inner);
        }
    })
}

/// The text of the first `<tag>`.
pub(super) fn element(text: &str, tag: &str) -> Option<String> {
    elements(text, tag).next().map(|inner| unescape(inner).into_owned())
}

/// A text, to stand in an element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let plain =
        text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&apos;", "'").replace("&#39;", "'");
    Cow::Owned(plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_found_by_their_whole_name() {
        let text =
            "<?xml version=\"1.0\"?><As xmlns=\"u\"><A>1</A><AB>no</AB><A>&quot;2&amp;quot;</A></As><A>cut";
        assert_eq!(elements(text, "A").collect::<Vec<_>>(), ["1", "&quot;2&amp;quot;"]);
        assert_eq!(element(text, "As").unwrap(), "<A>1</A><AB>no</AB><A>\"2&quot;</A>");
        assert_eq!(element(text, "B"), None);
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_as_it_was(text in ".*") {
            prop_assert_eq!(element(&format!("<V>{}</V>", escape(&text)), "V"), Some(text));
        }

        #[test]
        fn no_text_is_too_broken(text in "[<>/AV &;a]*") {
            prop_assert!(elements(&text, "A").count() <= text.len());
        }
    }
}
