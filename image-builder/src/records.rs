//! The first boot module: what `abi::boot_image` says, as bytes.
use crate::manifest::{Audit, Domain, Manifest};
use abi::boot_image::{DomainRecord, FORMAT, Header, MAGIC, domain_flags, machine_flags};

/// Which boot modules a domain uses; all but `kernel` may be `abi::boot_image::NO_MODULE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModuleIndexes {
    /// Of its kernel.
    pub kernel: u32,
    /// Of what is copied into it.
    pub guest: u32,
    /// Of the names of its kernel's functions.
    pub symbols: u32,
}

/// The whole module; `indexes` has one item for each domain, `symbols` is the module with the hypervisor's own names.
#[must_use]
pub fn to_bytes(manifest: &Manifest, indexes: &[ModuleIndexes], symbols: u32) -> Vec<u8> {
    let mut flags = 0;
    if manifest.until_others_ended {
        flags |= machine_flags::UNTIL_OTHERS_ENDED;
    }
    let audit_turns = match manifest.audit {
        Audit::Last => 0,
        Audit::EachEnd => {
            flags |= machine_flags::AUDIT_EACH_END;
            0
        }
        Audit::EachTurn(turns) => turns.get(),
    };
    let header = Header {
        magic: MAGIC,
        format: FORMAT,
        record_size: size_of::<DomainRecord>() as u32,
        domain_count: manifest.domains.len() as u32,
        console_domain: manifest.console as u32,
        flags,
        audit_turns,
        symbols_module: symbols,
        pad: 0,
    };
    let mut bytes = header_bytes(&header);
    for (domain, indexes) in manifest.domains.iter().zip(indexes) {
        bytes.extend(record_bytes(&record(domain, *indexes)));
    }
    bytes
}

fn record(domain: &Domain, indexes: ModuleIndexes) -> DomainRecord {
    let mut flags = 0;
    if domain.brief_record {
        flags |= domain_flags::RECORD_LINE;
    }
    if domain.witness {
        flags |= domain_flags::WITNESS;
    }
    DomainRecord {
        name: padded(&domain.name),
        command_line: padded(&domain.command_line),
        memory_frames: domain.memory_frames,
        kernel_module: indexes.kernel,
        guest_module: indexes.guest,
        weight: domain.weight,
        restart: domain.restart.policy.raw(),
        restart_max: domain.restart.max,
        flags,
        symbols_module: indexes.symbols,
        pad: 0,
    }
}

/// `text` with NULs after it; the manifest's checks leave room for one at least.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    bytes
}

/// The fields in the order of their declaration, little-endian, which is how the machine reads the `repr(C)` struct.
fn header_bytes(header: &Header) -> Vec<u8> {
    let Header {
        magic,
        format,
        record_size,
        domain_count,
        console_domain,
        flags,
        audit_turns,
        symbols_module,
        pad,
    } = *header;
    let mut bytes = magic.to_le_bytes().to_vec();
    for word in [
        format,
        record_size,
        domain_count,
        console_domain,
        flags,
        audit_turns,
        symbols_module,
        pad,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

fn record_bytes(record: &DomainRecord) -> Vec<u8> {
    let DomainRecord {
        name,
        command_line,
        memory_frames,
        kernel_module,
        guest_module,
        weight,
        restart,
        restart_max,
        flags,
        symbols_module,
        pad,
    } = *record;
    let mut bytes = name.to_vec();
    bytes.extend(command_line);
    bytes.extend(memory_frames.to_le_bytes());
    for word in [
        kernel_module,
        guest_module,
        weight,
        restart,
        restart_max,
        flags,
        symbols_module,
        pad,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::boot_image::{NO_MODULE, RestartPolicy};
    use std::mem::offset_of;

    fn scene() -> (Manifest, Vec<u8>) {
        let manifest = Manifest::parse(
            r#"
            console = "b"
            until = "others-ended"
            audit = "each-turn:12"
            [[domain]]
            name = "a"
            kernel = "k"
            memory = "2M"
            cmdline = "x=1"
            weight = 7
            restart = { policy = "on-crash", max = 5 }
            record = "line"
            [[domain]]
            name = "b"
            kernel = "k"
            witness = true
            "#,
        )
        .unwrap();
        let indexes = [
            ModuleIndexes {
                kernel: 1,
                guest: NO_MODULE,
                symbols: NO_MODULE,
            },
            ModuleIndexes {
                kernel: 1,
                guest: 2,
                symbols: 3,
            },
        ];
        let bytes = to_bytes(&manifest, &indexes, 4);
        (manifest, bytes)
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn the_header_stands_where_the_hypervisor_looks() {
        let (_, bytes) = scene();
        assert_eq!(bytes.len(), size_of::<Header>() + 2 * size_of::<DomainRecord>());
        assert_eq!(&bytes[..8], b"xl-image");
        assert_eq!(word(&bytes, offset_of!(Header, format)), FORMAT);
        assert_eq!(
            word(&bytes, offset_of!(Header, record_size)) as usize,
            size_of::<DomainRecord>()
        );
        assert_eq!(word(&bytes, offset_of!(Header, domain_count)), 2);
        assert_eq!(word(&bytes, offset_of!(Header, symbols_module)), 4);
        assert_eq!(word(&bytes, offset_of!(Header, console_domain)), 1);
        assert_eq!(
            word(&bytes, offset_of!(Header, flags)),
            machine_flags::UNTIL_OTHERS_ENDED
        );
        assert_eq!(word(&bytes, offset_of!(Header, audit_turns)), 12);
    }

    #[test]
    fn every_field_of_a_record_stands_where_the_struct_has_it() {
        let (_, bytes) = scene();
        let a = &bytes[size_of::<Header>()..];
        assert_eq!(&a[..2], b"a\0");
        assert_eq!(&a[offset_of!(DomainRecord, command_line)..][..4], b"x=1\0");
        let frames = offset_of!(DomainRecord, memory_frames);
        assert_eq!(u64::from_le_bytes(a[frames..frames + 8].try_into().unwrap()), 512);
        assert_eq!(word(a, offset_of!(DomainRecord, kernel_module)), 1);
        assert_eq!(word(a, offset_of!(DomainRecord, guest_module)), NO_MODULE);
        assert_eq!(word(a, offset_of!(DomainRecord, weight)), 7);
        assert_eq!(
            word(a, offset_of!(DomainRecord, restart)),
            RestartPolicy::OnCrash.raw()
        );
        assert_eq!(word(a, offset_of!(DomainRecord, restart_max)), 5);
        assert_eq!(
            word(a, offset_of!(DomainRecord, flags)),
            domain_flags::RECORD_LINE
        );
        let b = &a[size_of::<DomainRecord>()..];
        assert_eq!(word(b, offset_of!(DomainRecord, guest_module)), 2);
        assert_eq!(word(b, offset_of!(DomainRecord, symbols_module)), 3);
        assert_eq!(word(b, offset_of!(DomainRecord, flags)), domain_flags::WITNESS);
    }
}
