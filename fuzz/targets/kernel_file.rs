//! See `xen_lite::testing::targets::kernel_file`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xen_lite::testing::targets::kernel_file(bytes));
