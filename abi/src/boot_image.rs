//! What image-builder packs for the hypervisor: binary records, so that ring 0 parses no text.
//!
//! The first boot module is a [`Header`], followed by [`Header::domain_count`] [`DomainRecord`]s. Kernels, guest modules
//! and the names of functions ([`crate::symbols`]) are further boot modules; records name them by index (1 is the first
//! after this one). Both sides check every bound.

/// "xl-image" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"xl-image");
/// Changes when a record's shape does.
pub const FORMAT: u32 = 2;
/// Most domains of one image.
pub const MAX_DOMAINS: usize = 128;
/// A module index that means "none".
pub const NO_MODULE: u32 = 0;

/// First bytes of the first boot module.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`FORMAT`].
    pub format: u32,
    /// `size_of::<DomainRecord>()`.
    pub record_size: u32,
    /// How many records follow.
    pub domain_count: u32,
    /// Index of the domain that gets the user's keys.
    pub console_domain: u32,
    /// Bits of [`machine_flags`].
    pub flags: u32,
    /// Run `audit()` at every so many turns, of whatever kind; 0: at none.
    pub audit_turns: u32,
    /// Boot module with the names of the hypervisor's own functions, or [`NO_MODULE`].
    pub symbols_module: u32,
    /// Must be 0.
    pub pad: u32,
}
const _: () = assert!(size_of::<Header>() == 40);

/// Bits of [`Header::flags`].
pub mod machine_flags {
    /// `until = "others-ended"`: the machine ends when every domain without [`super::domain_flags::WITNESS`] has ended and
    /// every witness has shown a sign of life after that.
    pub const UNTIL_OTHERS_ENDED: u32 = 1 << 0;
    /// Run `audit()` after every domain's end (it also runs before power-off).
    pub const AUDIT_EACH_END: u32 = 1 << 1;
}

/// One domain.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainRecord {
    /// UTF-8, NUL-padded, 1 to 31 bytes of `[a-zA-Z0-9._-]`.
    pub name: [u8; 32],
    /// NUL-terminated.
    pub command_line: [u8; 1024],
    /// Memory in frames of 4 KiB.
    pub memory_frames: u64,
    /// Boot module that holds the kernel.
    pub kernel_module: u32,
    /// Boot module that is copied into the domain, or [`NO_MODULE`].
    pub guest_module: u32,
    /// Share of the CPU relative to other domains, 1 to 65535.
    pub weight: u32,
    /// A [`RestartPolicy`].
    pub restart: u32,
    /// Most restarts.
    pub restart_max: u32,
    /// Bits of [`domain_flags`].
    pub flags: u32,
    /// Boot module with the names of the kernel's functions, or [`NO_MODULE`].
    pub symbols_module: u32,
    /// Must be 0.
    pub pad: u32,
}
const _: () = assert!(size_of::<DomainRecord>() == 1096);

/// Bits of [`DomainRecord::flags`].
pub mod domain_flags {
    /// Only the machine line of a crash record is printed.
    pub const RECORD_LINE: u32 = 1 << 0;
    /// This domain is a witness: it is not waited for.
    pub const WITNESS: u32 = 1 << 1;
}

crate::numbered::numbered! {
    /// When a domain is started again.
    pub enum RestartPolicy: u32 {
        /// Not at all.
        Never = 0, "never";
        /// After a kill, not after an orderly shutdown.
        OnCrash = 1, "on-crash";
        /// After every end.
        Always = 2, "always";
    }
}
