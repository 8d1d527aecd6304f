//! A good image, each field made bad in turn, and any bytes at all.
use super::*;
use proptest::prelude::*;

const RECORD: usize = size_of::<Header>();
const MODULES: u32 = 4;

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

fn record(name: &str) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<DomainRecord>()];
    put(&mut bytes, offset_of!(DomainRecord, name), name.as_bytes());
    put(&mut bytes, offset_of!(DomainRecord, command_line), b"cases=a,b");
    put(
        &mut bytes,
        offset_of!(DomainRecord, memory_frames),
        &8192u64.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(DomainRecord, kernel_module),
        &1u32.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(DomainRecord, guest_module),
        &3u32.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(DomainRecord, weight),
        &256u32.to_le_bytes(),
    );
    put(&mut bytes, offset_of!(DomainRecord, restart), &1u32.to_le_bytes());
    put(
        &mut bytes,
        offset_of!(DomainRecord, restart_max),
        &7u32.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(DomainRecord, flags),
        &domain_flags::WITNESS.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(DomainRecord, symbols_module),
        &2u32.to_le_bytes(),
    );
    bytes
}

fn image(names: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<Header>()];
    put(&mut bytes, offset_of!(Header, magic), b"xl-image");
    put(&mut bytes, offset_of!(Header, format), &FORMAT.to_le_bytes());
    put(
        &mut bytes,
        offset_of!(Header, record_size),
        &1096u32.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(Header, domain_count),
        &(names.len() as u32).to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(Header, flags),
        &machine_flags::AUDIT_EACH_END.to_le_bytes(),
    );
    bytes.extend(names.iter().flat_map(|name| record(name)));
    bytes
}

/// The error of an image of two domains with bytes changed.
fn error(offset: usize, value: &[u8]) -> (Option<u32>, &'static str, Problem) {
    let mut bytes = image(&["web", "cat"]);
    put(&mut bytes, offset, value);
    let error = BootImage::parse(&bytes, MODULES).unwrap_err();
    (error.record, error.field, error.problem)
}

#[test]
fn a_good_image_is_read_field_by_field() {
    let mut bytes = image(&["web", "a.b_c-D9"]);
    put(&mut bytes, offset_of!(Header, audit_turns), &300u32.to_le_bytes());
    put(
        &mut bytes,
        offset_of!(Header, symbols_module),
        &1u32.to_le_bytes(),
    );
    let image = BootImage::parse(&bytes, MODULES).unwrap();
    assert_eq!((image.domain_count(), image.console_domain()), (2, 0));
    assert!(image.audit_each_end() && !image.until_others_ended());
    assert_eq!(image.audit_turns(), 300);
    assert_eq!(image.symbols_module(), Some(1));
    let web = DomainSpec {
        name: "web",
        command_line: b"cases=a,b",
        memory_frames: 8192,
        kernel_module: 1,
        guest_module: Some(3),
        symbols_module: Some(2),
        weight: 256,
        restart: RestartPolicy::OnCrash,
        restart_max: 7,
        record_line: false,
        witness: true,
    };
    assert_eq!(image.domain(0), Some(web));
    assert_eq!(
        image.domain(1),
        Some(DomainSpec {
            name: "a.b_c-D9",
            ..web
        })
    );
    assert_eq!(image.domain(2), None);
    assert_eq!(image.domains().count(), 2);
}

#[test]
fn each_field_of_the_header_is_checked() {
    use Problem::{OutOfRange, Unknown};
    let max = u32::MAX.to_le_bytes();
    assert_eq!(error(offset_of!(Header, magic), b"y"), (None, "magic", Unknown));
    assert_eq!(error(offset_of!(Header, format), &max), (None, "format", Unknown));
    assert_eq!(
        error(offset_of!(Header, record_size), &max),
        (None, "record_size", Unknown)
    );
    assert_eq!(
        error(offset_of!(Header, domain_count), &[0; 4]),
        (None, "domain_count", OutOfRange)
    );
    assert_eq!(
        error(offset_of!(Header, domain_count), &129u32.to_le_bytes()),
        (None, "domain_count", OutOfRange)
    );
    assert_eq!(
        error(offset_of!(Header, console_domain), &2u32.to_le_bytes()),
        (None, "console_domain", OutOfRange)
    );
    assert_eq!(
        error(offset_of!(Header, flags), &4u32.to_le_bytes()),
        (None, "flags", Unknown)
    );
    assert_eq!(
        error(offset_of!(Header, symbols_module), &MODULES.to_le_bytes()),
        (None, "symbols_module", OutOfRange)
    );
    assert_eq!(error(offset_of!(Header, pad), &[1]), (None, "pad", Unknown));
}

#[test]
fn each_field_of_a_record_is_checked() {
    use Problem::{Characters, OutOfRange, Taken, Unknown, Unterminated};
    let cases: &[(usize, &[u8], &str, Problem)] = &[
        (offset_of!(DomainRecord, name), &[0; 32], "name", Characters),
        (offset_of!(DomainRecord, name), b"a b", "name", Characters),
        (offset_of!(DomainRecord, name), b"\x1b[m", "name", Characters),
        (offset_of!(DomainRecord, name), b"a\0b", "name", Characters),
        (offset_of!(DomainRecord, name), &[b'a'; 32], "name", Unterminated),
        (offset_of!(DomainRecord, name), b"web\0", "name", Taken),
        (
            offset_of!(DomainRecord, command_line),
            &[b' '; 1024],
            "command_line",
            Unterminated,
        ),
        (
            offset_of!(DomainRecord, memory_frames),
            &[0; 8],
            "memory_frames",
            OutOfRange,
        ),
        (
            offset_of!(DomainRecord, memory_frames),
            &[0xff; 8],
            "memory_frames",
            OutOfRange,
        ),
        (
            offset_of!(DomainRecord, kernel_module),
            &[0; 4],
            "kernel_module",
            OutOfRange,
        ),
        (
            offset_of!(DomainRecord, kernel_module),
            &[4, 0, 0, 0],
            "kernel_module",
            OutOfRange,
        ),
        (
            offset_of!(DomainRecord, guest_module),
            &[4, 0, 0, 0],
            "guest_module",
            OutOfRange,
        ),
        (offset_of!(DomainRecord, weight), &[0; 4], "weight", OutOfRange),
        (
            offset_of!(DomainRecord, weight),
            &[0, 0, 1, 0],
            "weight",
            OutOfRange,
        ),
        (
            offset_of!(DomainRecord, restart),
            &[3, 0, 0, 0],
            "restart",
            Unknown,
        ),
        (offset_of!(DomainRecord, flags), &[4, 0, 0, 0], "flags", Unknown),
        (
            offset_of!(DomainRecord, symbols_module),
            &[4, 0, 0, 0],
            "symbols_module",
            OutOfRange,
        ),
        (offset_of!(DomainRecord, pad), &[1, 0, 0, 0], "pad", Unknown),
    ];
    for (offset, value, field, problem) in cases {
        let second = RECORD + size_of::<DomainRecord>();
        assert_eq!(error(second + offset, value), (Some(1), *field, *problem));
    }
}

#[test]
fn an_image_cut_anywhere_is_refused() {
    let bytes = image(&["web", "cat"]);
    for length in 0..bytes.len() {
        assert!(BootImage::parse(&bytes[..length], MODULES).is_err(), "{length}");
    }
}

#[test]
fn errors_name_record_and_field() {
    let (record, field, problem) = error(RECORD + offset_of!(DomainRecord, weight), &[0; 4]);
    let text = ImageError {
        record,
        field,
        problem,
    }
    .to_string();
    assert_eq!(text, "domain record 0: weight out of range");
    let text = BootImage::parse(b"", 1).unwrap_err().to_string();
    assert_eq!(text, "boot image header: header cut short");
}

proptest! {
    #[test]
    fn any_change_ends_in_an_image_or_an_error(
        changes in proptest::collection::vec((0usize..2208, any::<u8>()), 0..8), length in 0usize..2300, modules in 0u32..5,
    ) {
        let mut bytes = image(&["web", "cat"]);
        for (offset, byte) in changes {
            bytes[offset] = byte;
        }
        bytes.truncate(length);
        if let Ok(image) = BootImage::parse(&bytes, modules) {
            prop_assert_eq!(image.domains().count(), image.domain_count() as usize);
            for spec in image.domains() {
                prop_assert!(is_good_name(spec.name.as_bytes()) && spec.weight > 0);
                prop_assert!(spec.kernel_module > 0 && spec.kernel_module < modules);
                prop_assert!(spec.guest_module.is_none_or(|module| module < modules));
            }
        }
    }
}
