//! See `xen_lite::testing::targets::boot_image`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xen_lite::testing::targets::boot_image(bytes));
