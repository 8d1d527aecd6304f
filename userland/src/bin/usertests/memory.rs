//! Memory: the heap, mappings, rights, the stack, what there is not enough of.
use crate::check::{Check, Works, child, ends, ends_well, expect, same, tests};
use crate::raw;
use linux_raw_sys::general as linux;
use userland::Errno;
use userland::process::{self, Status};
use userland::signal;

tests! {
    the_heap_grows_and_shrinks
    mappings_are_zero
    holes_in_mappings
    rights_of_mappings
    nothing_can_be_executed_but_code
    fixed_mappings
    mappings_have_rules
    the_stack_grows
    the_stack_has_an_end
    copies_keep_rights
    out_of_memory_ends_one
    text_cannot_be_written
}

const PAGE: usize = 4096;
const READ_WRITE: u32 = linux::PROT_READ | linux::PROT_WRITE;
const PRIVATE: u32 = linux::MAP_PRIVATE | linux::MAP_ANONYMOUS;

fn map(address: usize, length: usize, rights: u32, flags: u32) -> userland::files::Result<usize> {
    raw::call(
        linux::__NR_mmap,
        [address, length, rights as usize, flags as usize, usize::MAX, 0],
    )
}

fn protect(address: usize, length: usize, rights: u32) -> userland::files::Result<usize> {
    raw::call(linux::__NR_mprotect, [address, length, rights as usize])
}

fn unmap(address: usize, length: usize) -> userland::files::Result<usize> {
    raw::call(linux::__NR_munmap, [address, length])
}

/// How a child ends that does this.
fn fate(body: impl FnOnce()) -> Result<Status, alloc::string::String> {
    let pid = child(|| {
        body();
        0
    })?;
    process::wait_for(pid).works("wait")
}

const KILLED: Status = Status::Killed(signal::SIGSEGV);
const FINE: Status = Status::Exited(0);

fn the_heap_grows_and_shrinks() -> Check {
    let set_break = |end: usize| raw::call(linux::__NR_brk, [end]);
    let start = set_break(0).works("brk")?;
    same(set_break(start + 10 * PAGE), Ok(start + 10 * PAGE), "growing")?;
    for page in 0..10 {
        same(raw::peek(start + page * PAGE), 0, "a new byte")?;
        raw::poke(start + page * PAGE, 7);
    }
    same(set_break(start + PAGE), Ok(start + PAGE), "shrinking")?;
    same(fate(|| raw::poke(start + 5 * PAGE, 1))?, KILLED, "beyond the end")?;
    same(
        set_break(start + 10 * PAGE),
        Ok(start + 10 * PAGE),
        "growing again",
    )?;
    same(raw::peek(start + 5 * PAGE), 0, "it is new")?;
    same(raw::peek(start), 7, "what stayed")?;
    // What makes no sense leaves the end where it is.
    same(set_break(1), Ok(start + 10 * PAGE), "below the heap")?;
    same(set_break(raw::KERNEL), Ok(start + 10 * PAGE), "in the kernel")?;
    same(set_break(start), Ok(start), "back")
}

fn mappings_are_zero() -> Check {
    let start = map(0, 64 * PAGE, READ_WRITE, PRIVATE).works("mmap")?;
    for page in (0..64).rev() {
        same(raw::peek(start + page * PAGE + 100), 0, "a new byte")?;
        raw::poke(start + page * PAGE + 100, 1);
    }
    same(unmap(start, 64 * PAGE), Ok(0), "munmap")?;
    same(fate(|| raw::poke(start, 1))?, KILLED, "it is gone")?;
    let again = map(start, 64 * PAGE, READ_WRITE, PRIVATE | linux::MAP_FIXED_NOREPLACE).works("mmap")?;
    same(again, start, "the place")?;
    expect(
        (0..64).all(|page| raw::peek(start + page * PAGE + 100) == 0),
        "an old byte is seen",
    )?;
    same(unmap(start, 64 * PAGE), Ok(0), "munmap")
}

fn holes_in_mappings() -> Check {
    let start = map(0, 8 * PAGE, READ_WRITE, PRIVATE).works("mmap")?;
    (0..8).for_each(|page| raw::poke(start + page * PAGE, page as u8));
    same(unmap(start + 2 * PAGE, 3 * PAGE), Ok(0), "a hole")?;
    for (page, expected) in [(1, FINE), (2, KILLED), (4, KILLED), (5, FINE)] {
        same(
            fate(|| raw::poke(start + page * PAGE, 9))?,
            expected,
            "around the hole",
        )?;
    }
    same(
        (raw::peek(start + PAGE), raw::peek(start + 5 * PAGE)),
        (1, 5),
        "what is left",
    )?;
    same(unmap(start, 8 * PAGE), Ok(0), "over the hole")?;
    same(unmap(start, 8 * PAGE), Ok(0), "of nothing")
}

fn rights_of_mappings() -> Check {
    let start = map(0, 4 * PAGE, READ_WRITE, PRIVATE).works("mmap")?;
    raw::poke(start + PAGE, 5);
    same(protect(start + PAGE, PAGE, linux::PROT_READ), Ok(0), "mprotect")?;
    same(raw::peek(start + PAGE), 5, "reading")?;
    same(fate(|| raw::poke(start + PAGE, 1))?, KILLED, "writing")?;
    same(fate(|| raw::poke(start + 2 * PAGE, 1))?, FINE, "the next page")?;
    same(
        protect(start + PAGE, PAGE, linux::PROT_NONE),
        Ok(0),
        "no right at all",
    )?;
    same(
        fate(|| {
            raw::peek(start + PAGE);
        })?,
        KILLED,
        "reading",
    )?;
    same(protect(start, 4 * PAGE, READ_WRITE), Ok(0), "all rights")?;
    same(raw::peek(start + PAGE), 5, "what was there")?;
    same(unmap(start + 3 * PAGE, PAGE), Ok(0), "munmap")?;
    same(
        protect(start, 4 * PAGE, READ_WRITE),
        Err(Errno::ENOMEM),
        "with a hole",
    )?;
    same(
        protect(start + 1, PAGE, READ_WRITE),
        Err(Errno::EINVAL),
        "not at a page",
    )?;
    same(unmap(start, 4 * PAGE), Ok(0), "munmap")
}

fn run_at(address: usize) {
    // SAFETY: there is a `ret`, or the process ends.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address) };
    function();
}

fn nothing_can_be_executed_but_code() -> Check {
    const RET: u8 = 0xc3;
    let start = map(0, PAGE, READ_WRITE, PRIVATE).works("mmap")?;
    raw::poke(start, RET);
    same(fate(|| run_at(start))?, KILLED, "data")?;
    same(
        protect(start, PAGE, linux::PROT_READ | linux::PROT_EXEC),
        Ok(0),
        "mprotect",
    )?;
    same(fate(|| run_at(start))?, FINE, "with the right")?;
    same(fate(|| raw::poke(start, 1))?, KILLED, "writing then")?;
    same(unmap(start, PAGE), Ok(0), "munmap")
}

fn fixed_mappings() -> Check {
    let start = map(0, 4 * PAGE, READ_WRITE, PRIVATE).works("mmap")?;
    (0..4).for_each(|page| raw::poke(start + page * PAGE, 1 + page as u8));
    let over = map(start + PAGE, PAGE, READ_WRITE, PRIVATE | linux::MAP_FIXED);
    same(over, Ok(start + PAGE), "over another")?;
    same(
        (
            raw::peek(start),
            raw::peek(start + PAGE),
            raw::peek(start + 2 * PAGE),
        ),
        (1, 0, 3),
        "what is there",
    )?;
    let refused = map(start, PAGE, READ_WRITE, PRIVATE | linux::MAP_FIXED_NOREPLACE);
    same(refused, Err(Errno::EEXIST), "NOREPLACE")?;
    let elsewhere = map(start, PAGE, READ_WRITE, PRIVATE).works("a hint that is taken")?;
    expect(elsewhere != start, "a hint that is taken")?;
    same(unmap(elsewhere, PAGE), Ok(0), "munmap")?;
    same(unmap(start, 4 * PAGE), Ok(0), "munmap")
}

fn mappings_have_rules() -> Check {
    same(map(0, 0, READ_WRITE, PRIVATE), Err(Errno::EINVAL), "no length")?;
    same(
        map(0, PAGE, READ_WRITE, linux::MAP_ANONYMOUS),
        Err(Errno::EINVAL),
        "neither private nor shared",
    )?;
    same(
        map(0, usize::MAX, READ_WRITE, PRIVATE),
        Err(Errno::ENOMEM),
        "everything",
    )?;
    same(
        map(0, 1 << 47, READ_WRITE, PRIVATE),
        Err(Errno::ENOMEM),
        "a whole half",
    )?;
    let fixed = PRIVATE | linux::MAP_FIXED;
    same(
        map(1, PAGE, READ_WRITE, fixed),
        Err(Errno::EINVAL),
        "not at a page",
    )?;
    for address in [raw::KERNEL & !0xfff, 0x7fff_ffff_f000, usize::MAX & !0xfff] {
        same(
            map(address, PAGE, READ_WRITE, fixed),
            Err(Errno::ENOMEM),
            "beyond the user's half",
        )?;
    }
    same(unmap(1, PAGE), Err(Errno::EINVAL), "munmap not at a page")?;
    same(unmap(0x10000, 0), Err(Errno::EINVAL), "munmap of nothing")?;
    same(
        unmap(raw::KERNEL & !0xfff, PAGE),
        Err(Errno::EINVAL),
        "munmap in the kernel",
    )?;
    let file = raw::call(
        linux::__NR_mmap,
        [0, PAGE, 1, linux::MAP_PRIVATE as usize, 777, 0],
    );
    expect(matches!(file, Err(Errno::EBADF | Errno::ENODEV)), "of no file")
}

fn the_stack_grows() -> Check {
    fn deep(depth: usize) -> usize {
        let frame = core::hint::black_box([depth; 512]);
        if depth == 0 {
            frame[511]
        } else {
            deep(depth - 1) + frame[0] - depth + 1
        }
    }
    // 4 MiB of frames.
    let pid = child(|| i32::from(deep(1000) != 1000))?;
    ends_well(pid)
}

fn the_stack_has_an_end() -> Check {
    #[allow(unconditional_recursion, reason = "that is what it is for")]
    fn endless(depth: usize) -> usize {
        let frame = core::hint::black_box([depth; 64]);
        endless(depth + 1) + core::hint::black_box(frame)[0]
    }
    let pid = child(|| endless(0) as i32)?;
    ends(pid, KILLED)
}

fn copies_keep_rights() -> Check {
    let start = map(0, 2 * PAGE, READ_WRITE, PRIVATE).works("mmap")?;
    raw::poke(start, 1);
    same(protect(start, PAGE, linux::PROT_READ), Ok(0), "mprotect")?;
    // After a fork the pages are shared; writing must not get past the missing right.
    same(fate(|| raw::poke(start, 2))?, KILLED, "a child's write")?;
    same(
        fate(|| {
            let _ = protect(start, PAGE, READ_WRITE);
            raw::poke(start, 3);
        })?,
        FINE,
        "with the right",
    )?;
    same(raw::peek(start), 1, "the parent's page")?;
    same(unmap(start, 2 * PAGE), Ok(0), "munmap")
}

/// A child that wants more than there is ends, by a refusal or a signal; its parent goes on. On a machine with much memory
/// it is refused a terabyte or two.
fn out_of_memory_ends_one() -> Check {
    let pid = child(|| {
        let length = if cfg!(feature = "linux") { 1 << 46 } else { 1 << 30 };
        let rights = READ_WRITE;
        for _ in 0..4 {
            match map(0, length, rights, PRIVATE) {
                Ok(start) if !cfg!(feature = "linux") => {
                    (0..length / PAGE).for_each(|page| raw::poke(start + page * PAGE, 1));
                }
                Ok(_) => {}
                Err(Errno::ENOMEM) => return 5,
                Err(_) => return 6,
            }
        }
        7
    })?;
    let status = process::wait_for(pid).works("wait")?;
    let is_good = matches!(
        status,
        Status::Exited(5) | Status::Killed(signal::SIGKILL | signal::SIGSEGV | linux::SIGBUS)
    );
    expect(is_good, "its end")?;
    let start = map(0, 16 * PAGE, READ_WRITE, PRIVATE).works("mmap afterwards")?;
    (0..16).for_each(|page| raw::poke(start + page * PAGE, 1));
    same(unmap(start, 16 * PAGE), Ok(0), "munmap")
}

fn text_cannot_be_written() -> Check {
    let text = out_of_memory_ends_one as *const () as usize;
    same(fate(|| raw::poke(text, 0x90))?, KILLED, "code")?;
    let constant = b"a constant".as_ptr() as usize;
    same(fate(|| raw::poke(constant, 1))?, KILLED, "constants")?;
    same(
        fate(|| {
            raw::peek(0);
        })?,
        KILLED,
        "page 0",
    )?;
    same(
        fate(|| {
            raw::peek(raw::KERNEL);
        })?,
        KILLED,
        "the kernel",
    )?;
    same(
        fate(|| {
            raw::peek(raw::NON_CANONICAL);
        })?,
        KILLED,
        "an address that is none",
    )
}
