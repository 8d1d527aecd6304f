//! See `xen_lite::testing::targets::kernel_headers`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xen_lite::testing::targets::kernel_headers(bytes));
