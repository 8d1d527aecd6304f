//! Link arguments of the programs, for pv-kernel and (by the feature `linux`) for a Linux host; else nothing.
fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    let bare = std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none");
    let linux = std::env::var_os("CARGO_FEATURE_LINUX").is_some();
    if !bare && !linux {
        return;
    }
    let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let ordinary = [format!("-T{dir}/link.ld"), "--build-id=none".to_owned()];
    let (arguments, prefix) = if bare {
        (["--no-pie", "-zmax-page-size=4096"].as_slice(), "")
    } else {
        // A host's linker is driven by its C compiler.
        (
            ["-nostartfiles", "-nostdlib", "-static", "-no-pie"].as_slice(),
            "-Wl,",
        )
    };
    for argument in arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    for argument in ordinary {
        println!("cargo:rustc-link-arg-bins={prefix}{argument}");
    }
}
