//! Writes `abi/include/xen-lite.h`, the interface for guests in C and assembly, from the crate.
//!
//! ```sh
//! cargo run -p abi --example c-header
//! ```
mod docs;
mod header;
mod tables;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(header::PATH);
    std::fs::write(&path, header::text())?;
    println!("wrote {}", path.display());
    Ok(())
}
