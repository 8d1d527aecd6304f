//! `xen_version`: who is there.
use crate::numbered::numbered;

numbered! {
    /// The command in rdi. Numbers are Xen's.
    pub enum XenVersion: u64 {
        /// Returns `major << 16 | minor` of the interface.
        Version = 0, "version";
        /// `(buffer)`: writes [`EXTRA_VERSION`], 16 bytes.
        ExtraVersion = 1, "extraversion";
    }
}

/// Major version of this interface.
pub const MAJOR: u64 = 0;
/// Minor version of this interface.
pub const MINOR: u64 = 1;
/// How this hypervisor calls itself, NUL-padded.
pub const EXTRA_VERSION: [u8; 16] = *b"-xen-lite\0\0\0\0\0\0\0";
