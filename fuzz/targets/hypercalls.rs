//! See `xen_lite::testing::targets::hypercalls`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xen_lite::testing::targets::hypercalls(bytes));
