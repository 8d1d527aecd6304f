//! What a trap handler may need while nothing else can be paged in: the linker script keeps this module, `hw/` and
//! the language's own library resident. The rest of this crate is pageable and may be touched only where a page
//! fault of ring 1 may be taken.
pub mod pager;
pub mod walk;
