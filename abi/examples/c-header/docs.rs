//! What the crate's sources say about an item, as text for a comment in C.
//!
//! The sources are laid out by rustfmt, so an item is the line that begins with its declaration, and its docs are the `///`
//! lines above it. Links become the names that the header has; one that leads to nothing there is an error.
use std::collections::BTreeMap;

/// Rust names, as links write them, and what the header calls the same.
pub(crate) type Names = BTreeMap<String, String>;

/// The docs above the first line after `scope` that begins with `declaration`.
///
/// # Panics
/// There is no such line, or nothing is said about it.
pub(crate) fn of(source: &str, scope: &str, declaration: &str, names: &Names) -> String {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let from = lines.iter().position(|line| line.starts_with(scope));
    let from = from.unwrap_or_else(|| panic!("no {scope}"));
    let at = lines
        .iter()
        .skip(from)
        .position(|line| line.starts_with(declaration));
    let at = from + at.unwrap_or_else(|| panic!("no {declaration} after {scope}"));
    let above = lines[..at].iter().rev();
    let mut docs: Vec<&str> = above
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .filter_map(|line| line.strip_prefix("///"))
        .map(str::trim)
        .collect();
    docs.reverse();
    // A picture is for the page; a comment is prose.
    let prose: Vec<&str> = docs
        .split(|line| line.starts_with("```"))
        .step_by(2)
        .flatten()
        .copied()
        .collect();
    plain(&prose.join(" "), names)
}

/// Links by the header's names, code without its marks.
fn plain(text: &str, names: &Names) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let (link, after) = after
            .split_once("`]")
            .unwrap_or_else(|| panic!("half a link: {text}"));
        plain.push_str(before);
        plain.push_str(called(link, names));
        rest = after;
    }
    plain.push_str(rest);
    plain.replace('`', "").trim().to_owned()
}

fn called<'a>(link: &str, names: &'a Names) -> &'a str {
    let segments: Vec<&str> = link.split("::").collect();
    let last = |count: usize| segments[segments.len().saturating_sub(count)..].join("::");
    let found = names.get(&last(2)).or_else(|| names.get(&last(1)));
    found.unwrap_or_else(|| panic!("the header has nothing for [`{link}`]"))
}
