//! Reading a shell text: the cursor, blanks and operators. [`super::grammar`] knows commands, [`super::word`] words,
//! [`super::heredoc`] here-documents.
//!
//! Any bytes can be read: what makes no sense is an [`Error`], and so is what is nested too deep for the stack.
use super::Bytes;
use super::ast::{List, Word};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

/// Why a text cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// It ends within a command: more may follow.
    Incomplete,
    /// It makes no sense, on this line for this reason.
    Syntax(usize, String),
}

/// How deep commands, quotes and expansions may be nested.
const DEPTH: usize = 48;

/// Reads a text, command by command.
#[derive(Debug)]
pub struct Parser<'a> {
    pub(super) text: &'a [u8],
    pub(super) place: usize,
    /// A place, and the line that it is on: lines are counted once.
    counted: Cell<(usize, usize)>,
    depth: usize,
    pub(super) waiting: Vec<Waiting>,
}

/// A here-document whose lines have not come yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) delimiter: Bytes,
    pub(super) kind: Here,
    pub(super) body: Rc<OnceCell<Word>>,
}

/// Kinds of here-documents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    /// `<<-`: tabs at the beginning of lines are dropped.
    pub(super) strips_tabs: bool,
    /// The delimiter was quoted: nothing in it is special.
    pub(super) is_literal: bool,
}

impl<'a> Parser<'a> {
    /// Reads `text`, whose first line has this number in messages.
    #[must_use]
    pub fn new(text: &'a [u8], first_line: usize) -> Self {
        let (place, depth, waiting) = (0, 0, Vec::new());
        let counted = Cell::new((0, first_line));
        Self {
            text,
            place,
            counted,
            depth,
            waiting,
        }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// The line that is being read.
    #[must_use]
    pub fn line(&self) -> usize {
        let (from, line) = self.counted.get();
        let newlines =
            |text: Option<&[u8]>| text.unwrap_or(&[]).iter().filter(|byte| **byte == b'\n').count();
        let line = match from <= self.place {
            true => line + newlines(self.text.get(from..self.place)),
            // A part is read again.
            false => line - newlines(self.text.get(self.place..from)),
        };
        self.counted.set((self.place, line));
        line
    }

    /// The commands of the next line (or lines, if they belong together); `None` at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn next_line(&mut self) -> Result<Option<List>, Error> {
        loop {
            self.blanks();
            if !self.eat(b"\n") {
                break;
            }
        }
        if self.peek().is_none() {
            return Ok(None);
        }
        let list = self.line_list()?;
        self.blanks();
        match self.peek() {
            None if self.waiting.is_empty() => {}
            // The end of the text ends a here-document too, but there may be more to come.
            None => return Err(Error::Incomplete),
            Some(b'\n') => self.newline()?,
            Some(_) => return Err(self.unexpected()),
        }
        Ok(Some(list))
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.place).copied()
    }

    pub(super) fn peek_at(&self, offset: usize) -> Option<u8> {
        self.text.get(self.place + offset).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.place..).unwrap_or(&[])
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.place += 1;
        Some(byte)
    }

    /// Passes `wanted` if it is what comes.
    pub(super) fn eat(&mut self, wanted: &[u8]) -> bool {
        let comes = self.rest().starts_with(wanted);
        if comes {
            self.place += wanted.len();
        }
        comes
    }

    /// Passes blanks, continued lines and a comment.
    pub(super) fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.place += 1,
                Some(b'\\') if self.peek_at(1) == Some(b'\n') => self.place += 2,
                Some(b'#') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.place += 1;
                    }
                    return;
                }
                _ => return,
            }
        }
    }

    /// Passes the newline that comes, and the here-documents that it begins.
    pub(super) fn newline(&mut self) -> Result<(), Error> {
        self.place += 1;
        for waiting in core::mem::take(&mut self.waiting) {
            self.here_document(&waiting)?;
        }
        Ok(())
    }

    /// Passes newlines and blanks.
    pub(super) fn newlines(&mut self) -> Result<(), Error> {
        loop {
            self.blanks();
            if self.peek() != Some(b'\n') {
                return Ok(());
            }
            self.newline()?;
        }
    }

    /// Goes one level deeper for as long as `inner` takes.
    pub(super) fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == DEPTH {
            return Err(Error::Syntax(self.line(), "nested too deep".into()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A parser of a part of the text that stands alone, such as what is in backquotes; as deep as this one.
    pub(super) fn inner<'b>(&self, text: &'b [u8]) -> Parser<'b> {
        Parser {
            text,
            place: 0,
            counted: Cell::new((0, self.line())),
            depth: self.depth,
            waiting: Vec::new(),
        }
    }

    /// The error that what comes does not belong here.
    pub(super) fn unexpected(&self) -> Error {
        let Some(first) = self.peek() else {
            return Error::Incomplete;
        };
        let what = match first {
            b'\n' => "newline".into(),
            b';' | b'&' | b'|' if self.peek_at(1) == Some(first) => {
                alloc::format!("\"{0}{0}\"", char::from(first))
            }
            b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' => alloc::format!("\"{}\"", char::from(first)),
            _ => match self.peek_keyword() {
                Some(keyword) => alloc::format!("\"{}\"", crate::text::Text(keyword)),
                None => "word".into(),
            },
        };
        self.error(alloc::format!("{what} unexpected"))
    }

    pub(super) fn error(&self, what: impl Into<String>) -> Error {
        Error::Syntax(self.line(), what.into())
    }
}
