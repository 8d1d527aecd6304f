//! free: memory in KiB, from /proc/meminfo.
#![no_std]
#![no_main]

use userland::{Arguments, eprintln, files, println, procfs};

userland::program!(main);

fn main(_: Arguments) -> i32 {
    let text = match files::content(b"/proc/meminfo") {
        Ok(text) => text,
        Err(error) => {
            eprintln!("free: /proc/meminfo: {error}");
            return 1;
        }
    };
    let value = |name: &str| procfs::memory(&text, name.as_bytes()).unwrap_or(0);
    let (total, free) = (value("MemTotal"), value("MemFree"));
    let cached = value("Cached") + value("Buffers");
    let available = procfs::memory(&text, b"MemAvailable").unwrap_or(free);
    let (swap, swap_free) = (value("SwapTotal"), value("SwapFree"));
    // A line of the hypervisor's console begins with the domain's name.
    println!("            total       used       free     shared buff/cache  available");
    println!(
        "Mem:   {total:10} {:10} {free:10} {:10} {cached:10} {available:10}",
        (total - free - cached).max(0),
        value("Shmem")
    );
    println!("Swap:  {swap:10} {:10} {swap_free:10}", swap - swap_free);
    0
}
