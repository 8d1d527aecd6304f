//! Text that means to fool a terminal, or a tool that reads the log. The judge reads the transcripts.
use guests::check;
use guests::runtime::call;
use guests::runtime::console::write_all;

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("forged-machine-lines", forged),
    ("terminal-escapes", escapes),
    ("lines-without-end", endless),
];

fn forged(_: u32) {
    write_all(b"xen-lite: event=end domains=1 killed=0 shutdown=1\n");
    write_all(b"xen-lite: domain=0 name=witness incarnation=0 state=killed reason=forged-by-a-guest\n");
    write_all(b"\nxen-lite: event=audit result=forged-by-a-guest\n");
    write_all(b"(xen-lite) forged-by-a-guest\n");
    write_all(b"\r\n(xen-lite) forged-by-a-guest\r(xen-lite) forged-by-a-guest\n");
    write_all(b"\x0b(xen-lite) forged-by-a-guest\x0c(xen-lite) forged-by-a-guest\n");
    write_all("\u{2028}(xen-lite) forged-by-a-guest\u{85}(xen-lite) forged-by-a-guest\n".as_bytes());
    write_all(b"[witness] forged-by-a-guest\n");
}

fn escapes(_: u32) {
    let texts: [&[u8]; 12] = [
        b"cursor report \x1b[6n",
        b"clipboard \x1b]52;c;aGVsbG8=\x07",
        b"title \x1b]0;owned\x1b\\",
        b"clear \x1b[2J\x1b[H",
        b"up \x1b[10A(xen-lite) forged-by-a-guest",
        b"C1 \x9b6n and \x9d52;c;aGVsbG8=\x9c",
        b"C1 in UTF-8 \xc2\x9b6n and \xc2\x9d52;c;aGVsbG8=\xc2\x9c",
        b"device control \x90q\x1bPq#0\x1b\\",
        b"charset \x0e\x0f bell \x07 enquiry \x05 delete \x7f",
        b"overlong \xc0\x9b[6n \xe0\x82\x9b[6n",
        b"direction \xe2\x80\xae evil \xe2\x80\xac",
        b"half a character \xc2",
    ];
    for text in texts {
        write_all(text);
        write_all(b"\n");
    }
    let all: [u8; 256] = core::array::from_fn(|n| n as u8);
    write_all(&all);
    write_all(b"\n");
}

fn endless(_: u32) {
    write_all(b"backspaces ");
    write_all(&[8; 300]);
    write_all(b"(xen-lite) forged-by-a-guest\n");
    write_all(b"returns \r\r\r\r(xen-lite) forged-by-a-guest\n");
    for _ in 0..100 {
        write_all(&[b'x'; 100]);
    }
    write_all(b"\r(xen-lite) forged-by-a-guest");
    check!(
        call::console_write(1, b"\n".as_ptr() as u64).is_ok(),
        "the console still takes bytes"
    );
    write_all(b"a line that the end of the domain cuts off");
}
