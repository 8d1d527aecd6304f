//! The header's text.
use crate::docs::{self, Names};
use crate::tables::{Field, Item, Section, Value, sections};
use std::fmt::Write as _;

/// Where it is kept, from the crate's folder.
pub(crate) const PATH: &str = "include/xen-lite.h";
/// What writes it anew.
#[allow(dead_code, reason = "the test says it, the example is it")]
pub(crate) const COMMAND: &str = "cargo run -p abi --example c-header";

const HEAD: &str = "\
/* The interface between xen-lite and its guests, for C (C11, gcc or clang, x86-64) and for assembly.
 *
 * abi/README.md says what all of it means. This file is written from the crate `abi`:
 *     cargo run -p abi --example c-header
 * Nothing here needs a library: stddef.h and stdint.h come with the compiler. In assembly there are the numbers alone;
 * those that begin with XL_OFFSET_ and XL_SIZE_ are the layout of the structures.
 */
#ifndef XEN_LITE_H
#define XEN_LITE_H
";
const FOR_C: &str = "
#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#define XL_ASSERT_SIZE(name, size) _Static_assert(sizeof(struct xl_##name) == (size), \"size of \" #name)
#define XL_ASSERT_AT(name, field, offset) \\
    _Static_assert(offsetof(struct xl_##name, field) == (offset), \"offset of \" #name \".\" #field)
";
const TAIL: &str = "
#endif /* __ASSEMBLER__ */
#endif /* XEN_LITE_H */
";
/// Columns of a line.
const WIDTH: usize = 120;
/// Columns of a name and its number; their comment follows.
const NAMES: usize = 48;

/// The whole header.
pub(crate) fn text() -> String {
    let sections = sections();
    let names = names(&sections);
    let mut text = HEAD.to_owned();
    for section in &sections {
        let _ = write!(
            text,
            "\n/* {} {} */\n",
            section.title,
            "-".repeat(WIDTH - 7 - section.title.len())
        );
        for group in section.items.chunk_by(|one, next| one.scope() == next.scope()) {
            text.push('\n');
            for item in group {
                numbers(&mut text, section, item, &names);
            }
        }
    }
    text.push_str(FOR_C);
    for section in &sections {
        for item in &section.items {
            structure(&mut text, section, item, &names);
        }
    }
    text.push('\n');
    text.push_str(include_str!("stub.h"));
    text.push_str(TAIL);
    text
}

/// How the header calls what links in the sources may name.
fn names(sections: &[Section]) -> Names {
    let mut names = Names::new();
    for section in sections {
        names.insert(section.module.to_owned(), format!("\"{}\"", section.title));
        for item in &section.items {
            match item {
                Item::Number { rust, c, .. } => {
                    names.insert(rust.clone(), c.clone());
                    names.insert(format!("{}::{rust}", section.module), c.clone());
                }
                Item::Structure { rust, c, fields, .. } => {
                    names.insert((*rust).to_owned(), format!("struct xl_{c}"));
                    for Field { name, .. } in fields {
                        names.insert(format!("{rust}::{name}"), (*name).to_owned());
                    }
                }
            }
        }
    }
    for (link, text) in [
        ("start_info::flags", "XL_START_"),
        ("trap::flags", "XL_TRAP_"),
        ("MmuextCommand", "XL_MMUEXT_ number"),
        ("PortStatus", "XL_PORT_ number"),
        ("Virq", "XL_VIRQ_ number"),
        ("SegmentBase", "XL_BASE_"),
        ("Errno", "XL_E.. number"),
        ("is_software_vector", "XL_FIRST_SOFTWARE_VECTOR"),
        ("EXTRA_VERSION", "\"-xen-lite\", padded with NUL"),
        ("may_be_direct", "see abi/README.md"),
    ] {
        names.insert(link.to_owned(), text.to_owned());
    }
    names
}

fn numbers(text: &mut String, section: &Section, item: &Item, names: &Names) {
    match item {
        Item::Number {
            c,
            value,
            declaration,
            scope,
            ..
        } => {
            let value = match value {
                Value::Decimal(value) => format!("{value}"),
                Value::Hex(value) => format!("{value:#x}"),
            };
            let about = if scope == "pub mod vector" {
                String::new()
            } else {
                docs::of(section.source, scope, declaration, names)
            };
            described(text, &format!("#define {c} {value}"), &about);
        }
        Item::Structure { c, size, fields, .. } => {
            let name = c.to_uppercase();
            described(text, &format!("#define XL_SIZE_{name} {size}"), "");
            for Field {
                name: field, offset, ..
            } in fields
            {
                let line = format!("#define XL_OFFSET_{name}_{} {offset}", field.to_uppercase());
                described(text, &line, "");
            }
        }
    }
}

/// A line and its comment: behind it where there is room, else above it.
fn described(text: &mut String, line: &str, about: &str) {
    if about.is_empty() {
        let _ = writeln!(text, "{line}");
    } else if line.len() < NAMES && NAMES + about.len() + 6 <= WIDTH {
        let _ = writeln!(text, "{line:NAMES$}/* {about} */");
    } else {
        let indent = line.len() - line.trim_start().len();
        comment(text, about, indent);
        let _ = writeln!(text, "{line}");
    }
}

fn comment(text: &mut String, about: &str, indent: usize) {
    let margin = " ".repeat(indent);
    let mut line = format!("{margin}/*");
    for word in about.split_whitespace() {
        if line.len() + 1 + word.len() + 3 > WIDTH {
            let _ = writeln!(text, "{line}");
            line = format!("{margin} *");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line} */");
}

fn structure(text: &mut String, section: &Section, item: &Item, names: &Names) {
    let Item::Structure {
        rust,
        c,
        size,
        fields,
    } = item
    else {
        return;
    };
    let scope = format!("pub struct {rust} ");
    text.push('\n');
    comment(text, &docs::of(section.source, &scope, &scope, names), 0);
    let _ = writeln!(text, "struct xl_{c} {{");
    for Field {
        name, declaration, ..
    } in fields
    {
        let about = docs::of(section.source, &scope, &format!("pub {name}:"), names);
        described(text, &format!("    {declaration};"), &about);
    }
    text.push_str("};\n");
    let upper = c.to_uppercase();
    let _ = writeln!(text, "XL_ASSERT_SIZE({c}, XL_SIZE_{upper});");
    let mut end = 0;
    for Field {
        name, offset, size, ..
    } in fields
    {
        assert_eq!(
            *offset, end,
            "{rust} has a gap, or a field that is not listed, before {name}"
        );
        end = offset + size;
        let upper_name = name.to_uppercase();
        let _ = writeln!(text, "XL_ASSERT_AT({c}, {name}, XL_OFFSET_{upper}_{upper_name});");
    }
    assert_eq!(end, *size, "{rust} has fields that are not listed");
}
