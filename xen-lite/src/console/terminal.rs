//! One terminal, many writers: what guests print becomes lines that nobody can mistake for another's.
//!
//! 1. Every line begins with its writer's prefix, `[name] ` or `(xen-lite) `; nothing a guest prints changes what stands
//!    before its own text.
//! 2. Bytes that are not text are shown as text ([`super::text`]).
//! 3. One line has one writer. Who prints while another's line is unfinished begins a new line; the other goes on, later,
//!    on a line of its own marked as continuation, `[name]+ `. A line that was interrupted and then ends has ended.
//! 4. A line without end is broken after 1000 characters, and continues so marked.
//! 5. The console's owner may edit its line: backspace, carriage return, tab, and the sequences ESC \[ n C, D, G, and
//!    ESC \[ K, J, 2 K. They are interpreted and re-issued within the line. When it goes on after an interruption, its
//!    whole line is printed anew, with the usual prefix.
//!
//! A carriage return before a newline belongs to it. For other writers than the owner a carriage return alone is shown as
//! text, and a tab as spaces.
use super::line::{Edit, Line, MAX_LINE};
use super::text::{Decoder, Escaped, Piece, is_shown};
use core::fmt::Write;

const NEWLINE: &str = "\r\n";
const TAB_STOP: usize = 8;
const ESCAPE: char = '\x1b';

/// Whose text a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writer {
    /// xen-lite itself.
    Hypervisor,
    /// The monitor, in xen-lite's name: its command line is not that of its other messages.
    Monitor,
    /// The domain with this number.
    Domain(u16),
}

/// One writer's side: its name, and what it has begun and not finished.
#[derive(Clone, Debug)]
pub struct Stream {
    writer: Writer,
    name: [u8; 31],
    name_len: usize,
    decoder: Decoder,
    escape: Escape,
    carriage_return: bool,
    /// Characters of the unfinished line, for writers other than the owner.
    column: usize,
}

/// How much of a control sequence has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Escape {
    #[default]
    None,
    Begun,
    Bracket {
        parameter: usize,
        digits: u8,
    },
}

impl Stream {
    /// The hypervisor's own.
    #[must_use]
    pub const fn hypervisor() -> Self {
        Self::new(Writer::Hypervisor)
    }

    /// The monitor's.
    #[must_use]
    pub const fn monitor() -> Self {
        Self::new(Writer::Monitor)
    }

    /// A domain's. Of its name, the first 31 bytes that a name may have are used.
    #[must_use]
    pub fn domain(id: u16, name: &str) -> Self {
        let mut stream = Self::new(Writer::Domain(id));
        let good = name
            .bytes()
            .filter(|byte| crate::boot_image::is_good_name(&[*byte]));
        for (slot, byte) in stream.name.iter_mut().zip(good) {
            *slot = byte;
            stream.name_len += 1;
        }
        stream
    }

    const fn new(writer: Writer) -> Self {
        Self {
            writer,
            name: [0; 31],
            name_len: 0,
            decoder: Decoder::new(),
            escape: Escape::None,
            carriage_return: false,
            column: 0,
        }
    }

    fn prefix(&self, mark: &str, out: &mut impl Write) {
        let name = self
            .name
            .get(..self.name_len)
            .and_then(|name| core::str::from_utf8(name).ok())
            .unwrap_or("?");
        let _ = match self.writer {
            Writer::Hypervisor | Writer::Monitor => write!(out, "(xen-lite){mark} "),
            Writer::Domain(_) => write!(out, "[{name}]{mark} "),
        };
    }
}

/// The terminal.
pub struct Terminal {
    /// Whose unfinished line the cursor is on.
    open: Option<Writer>,
    owner: Option<Writer>,
    line: Line,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// A terminal whose cursor is at the beginning of a line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            open: None,
            owner: None,
            line: Line::new(),
        }
    }

    /// Gives the right to edit its line to another writer, or to none.
    pub fn set_owner(&mut self, owner: Option<Writer>, out: &mut impl Write) {
        if self.owner != owner {
            self.close(out);
            self.line.clear();
            self.owner = owner;
        }
    }

    /// Prints what a writer has written.
    pub fn write(&mut self, stream: &mut Stream, bytes: &[u8], out: &mut impl Write) {
        for byte in bytes {
            let mut decoder = stream.decoder;
            decoder.push(*byte, |piece| self.piece(stream, piece, out));
            stream.decoder = decoder;
        }
    }

    /// Ends a writer's unfinished line, and whatever it has begun: it will not go on.
    pub fn end(&mut self, stream: &mut Stream, out: &mut impl Write) {
        let mut decoder = stream.decoder;
        decoder.finish(|piece| self.piece(stream, piece, out));
        stream.decoder = decoder;
        self.give_up_escape(stream, out);
        stream.carriage_return = false;
        if self.is_unfinished(stream) {
            self.newline(stream, out);
        }
    }

    /// Leaves the cursor at the beginning of a line.
    pub fn close(&mut self, out: &mut impl Write) {
        if self.open.take().is_some() {
            let _ = out.write_str(NEWLINE);
        }
    }

    fn owns(&self, stream: &Stream) -> bool {
        self.owner == Some(stream.writer)
    }

    fn is_unfinished(&self, stream: &Stream) -> bool {
        self.open == Some(stream.writer) || stream.column > 0 || (self.owns(stream) && !self.line.is_empty())
    }

    fn piece(&mut self, stream: &mut Stream, piece: Piece, out: &mut impl Write) {
        if self.continues_escape(stream, piece, out) {
            return;
        }
        if core::mem::take(&mut stream.carriage_return) && piece != Piece::Char('\n') {
            self.carriage_return(stream, out);
        }
        match piece {
            Piece::Char('\n') => self.newline(stream, out),
            Piece::Char('\r') => stream.carriage_return = true,
            Piece::Char('\t') => self.tab(stream, out),
            Piece::Char('\x08') if self.owns(stream) => self.edit(stream, Edit::Left(1), out),
            Piece::Char(ESCAPE) if self.owns(stream) => stream.escape = Escape::Begun,
            Piece::Char(character) if is_shown(character) => self.put(stream, character, out),
            _ => self.put_escaped(stream, piece, out),
        }
    }

    /// Takes a piece of a control sequence. One that is not known is shown as text, up to this piece.
    fn continues_escape(&mut self, stream: &mut Stream, piece: Piece, out: &mut impl Write) -> bool {
        let Piece::Char(character) = piece else {
            self.give_up_escape(stream, out);
            return false;
        };
        match (stream.escape, character) {
            (Escape::None, _) => return false,
            (Escape::Begun, '[') => {
                stream.escape = Escape::Bracket {
                    parameter: 0,
                    digits: 0,
                }
            }
            (Escape::Bracket { parameter, digits }, '0'..='9') if digits < 3 => {
                let digit = character as usize - '0' as usize;
                stream.escape = Escape::Bracket {
                    parameter: parameter * 10 + digit,
                    digits: digits + 1,
                };
            }
            (Escape::Bracket { parameter, .. }, _) => {
                let Some(edit) = edit_of(character, parameter) else {
                    self.give_up_escape(stream, out);
                    return false;
                };
                stream.escape = Escape::None;
                if core::mem::take(&mut stream.carriage_return) {
                    self.carriage_return(stream, out);
                }
                self.edit(stream, edit, out);
            }
            (Escape::Begun, _) => {
                self.give_up_escape(stream, out);
                return false;
            }
        }
        true
    }

    fn give_up_escape(&mut self, stream: &mut Stream, out: &mut impl Write) {
        let escape = core::mem::take(&mut stream.escape);
        if escape == Escape::None {
            return;
        }
        if core::mem::take(&mut stream.carriage_return) {
            self.carriage_return(stream, out);
        }
        self.put_escaped(stream, Piece::Char(ESCAPE), out);
        if let Escape::Bracket { parameter, digits } = escape {
            self.put(stream, '[', out);
            for place in (0..u32::from(digits)).rev() {
                let digit = parameter / 10usize.pow(place) % 10;
                self.put(stream, char::from(b'0' + digit as u8), out);
            }
        }
    }

    /// Makes the stream's line the one that the cursor is on.
    fn resume(&mut self, stream: &Stream, out: &mut impl Write) {
        if self.open == Some(stream.writer) {
            return;
        }
        self.close(out);
        self.open = Some(stream.writer);
        let mark = if stream.column > 0 && !self.owns(stream) {
            "+"
        } else {
            ""
        };
        stream.prefix(mark, out);
        if self.owns(stream) {
            self.line.reprint(out);
        }
    }

    /// Breaks a line that has no room for one more character.
    fn make_room(&mut self, stream: &mut Stream, out: &mut impl Write) {
        self.resume(stream, out);
        let full = if self.owns(stream) {
            self.line.is_full()
        } else {
            stream.column >= MAX_LINE
        };
        if full {
            self.line_break(stream, out);
            self.open = Some(stream.writer);
            stream.prefix("+", out);
        }
    }

    fn line_break(&mut self, stream: &mut Stream, out: &mut impl Write) {
        self.close(out);
        stream.column = 0;
        if self.owns(stream) {
            self.line.clear();
        }
    }

    fn put(&mut self, stream: &mut Stream, character: char, out: &mut impl Write) {
        self.make_room(stream, out);
        if self.owns(stream) {
            self.line.put(character, out);
        } else {
            stream.column += 1;
            let _ = out.write_char(character);
        }
    }

    fn put_escaped(&mut self, stream: &mut Stream, piece: Piece, out: &mut impl Write) {
        struct Characters<'a, W>(&'a mut Terminal, &'a mut Stream, &'a mut W);
        impl<W: Write> Write for Characters<'_, W> {
            fn write_str(&mut self, text: &str) -> core::fmt::Result {
                for character in text.chars() {
                    self.0.put(self.1, character, self.2);
                }
                Ok(())
            }
        }
        let _ = write!(Characters(self, stream, out), "{}", Escaped(piece));
    }

    fn newline(&mut self, stream: &mut Stream, out: &mut impl Write) {
        // What was interrupted has had its end; what has not begun is an empty line.
        if !self.is_unfinished(stream) {
            self.resume(stream, out);
        }
        if self.open == Some(stream.writer) {
            self.close(out);
        }
        stream.column = 0;
        if self.owns(stream) {
            self.line.clear();
        }
    }

    fn carriage_return(&mut self, stream: &mut Stream, out: &mut impl Write) {
        if self.owns(stream) {
            self.edit(stream, Edit::To(0), out);
        } else {
            self.put_escaped(stream, Piece::Char('\r'), out);
        }
    }

    fn tab(&mut self, stream: &mut Stream, out: &mut impl Write) {
        loop {
            self.make_room(stream, out);
            let column = if self.owns(stream) {
                self.line.pass(out);
                self.line.cursor()
            } else {
                stream.column += 1;
                let _ = out.write_char(' ');
                stream.column
            };
            if column.is_multiple_of(TAB_STOP) {
                return;
            }
        }
    }

    fn edit(&mut self, stream: &Stream, edit: Edit, out: &mut impl Write) {
        self.resume(stream, out);
        self.line.edit(edit, out);
    }
}

/// What ESC \[ `parameter` `last` asks for; a parameter that is left out is 0.
fn edit_of(last: char, parameter: usize) -> Option<Edit> {
    match (last, parameter) {
        ('C', count) => Some(Edit::Right(count.max(1))),
        ('D', count) => Some(Edit::Left(count.max(1))),
        ('G', column) => Some(Edit::To(column.saturating_sub(1))),
        ('K' | 'J', 0) => Some(Edit::EraseToEnd),
        ('K', 2) => Some(Edit::EraseAll),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
