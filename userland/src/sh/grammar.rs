//! Commands, by recursive descent: the shell grammar of POSIX (Shell Command Language, 2.10).
use super::ast::{
    Command, Compound, Connector, Item, List, LoopKind, Mode, Pipeline, Redirect, RedirectKind, Simple, Word,
};
use super::parse::{Error, Here, Parser, Waiting};
use super::word::Ending;
use super::{Bytes, is_name, is_name_byte};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::OnceCell;

/// Words that are special where a command begins.
const KEYWORDS: [&[u8]; 16] = [
    b"if", b"then", b"else", b"elif", b"fi", b"do", b"done", b"case", b"esac", b"while", b"until", b"for",
    b"{", b"}", b"!", b"in",
];
/// Those of them that end a list.
const CLOSERS: [&[u8]; 8] = [b"then", b"else", b"elif", b"fi", b"do", b"done", b"esac", b"}"];

/// Whether `byte` ends a word that is not quoted.
pub(super) fn ends_word(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')'
    )
}

impl Parser<'_> {
    /// The keyword that comes, if one does.
    pub(super) fn peek_keyword(&self) -> Option<&'static [u8]> {
        let rest = self.rest();
        let end = rest
            .iter()
            .position(|byte| ends_word(*byte))
            .unwrap_or(rest.len());
        let word = rest.get(..end)?;
        KEYWORDS.iter().find(|keyword| **keyword == word).copied()
    }

    fn eat_keyword(&mut self, keyword: &[u8]) -> bool {
        self.blanks();
        let comes = self.peek_keyword() == Some(keyword);
        if comes {
            self.place += keyword.len();
        }
        comes
    }

    fn expect_keyword(&mut self, keyword: &[u8]) -> Result<(), Error> {
        if self.eat_keyword(keyword) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Commands up to the end of the line.
    pub(super) fn line_list(&mut self) -> Result<List, Error> {
        let mut items = Vec::new();
        loop {
            items.push(self.item()?);
            self.blanks();
            if matches!(self.peek(), None | Some(b'\n' | b')')) || self.rest().starts_with(b";;") {
                return Ok(List(items));
            }
        }
    }

    /// Commands up to what ends them: a keyword, `)`, `;;`. At least one.
    pub(super) fn compound_list(&mut self) -> Result<List, Error> {
        let list = self.deeper(Self::possible_list)?;
        if list.0.is_empty() {
            Err(self.unexpected())
        } else {
            Ok(list)
        }
    }

    /// Commands up to what ends them; perhaps none.
    fn possible_list(&mut self) -> Result<List, Error> {
        let mut items = Vec::new();
        loop {
            self.newlines()?;
            let at_closer = self.peek_keyword().is_some_and(|word| CLOSERS.contains(&word));
            if at_closer || matches!(self.peek(), None | Some(b')')) || self.rest().starts_with(b";;") {
                return Ok(List(items));
            }
            items.push(self.item()?);
        }
    }

    /// Pipelines with `&&` and `||`, and the `;` or `&` behind them.
    fn item(&mut self) -> Result<Item, Error> {
        self.blanks();
        let start = self.place;
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        let end = loop {
            let end = self.place;
            self.blanks();
            let connector = if self.eat(b"&&") {
                Connector::And
            } else if self.eat(b"||") {
                Connector::Or
            } else {
                break end;
            };
            self.newlines()?;
            rest.push((connector, self.pipeline()?));
        };
        let text = self.text.get(start..end).unwrap_or(&[]).to_vec();
        let mut mode = Mode::Foreground;
        if self.eat(b"&") {
            mode = Mode::Background;
        } else if self.peek() == Some(b';') && self.peek_at(1) != Some(b';') {
            self.place += 1;
        } else if !(matches!(self.peek(), None | Some(b'\n' | b')')) || self.rest().starts_with(b";;")) {
            return Err(self.unexpected());
        }
        Ok(Item {
            first,
            rest,
            mode,
            text,
        })
    }

    fn pipeline(&mut self) -> Result<Pipeline, Error> {
        let mut negations = 0;
        while self.eat_keyword(b"!") {
            negations += 1;
        }
        let mut commands = Vec::from([self.command()?]);
        loop {
            self.blanks();
            if self.peek() != Some(b'|') || self.peek_at(1) == Some(b'|') {
                return Ok(Pipeline { negations, commands });
            }
            self.place += 1;
            self.newlines()?;
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Command, Error> {
        self.blanks();
        let compound = match self.peek_keyword() {
            Some(b"{") => self.group(),
            Some(b"if") => self.conditional(),
            Some(b"while") => self.repeated(b"while", LoopKind::While),
            Some(b"until") => self.repeated(b"until", LoopKind::Until),
            Some(b"for") => self.for_loop(),
            Some(b"case") => self.case(),
            Some(b"in") | None if self.peek() != Some(b'(') => return self.simple(),
            None => self.subshell(),
            Some(_) => return Err(self.unexpected()),
        }?;
        let mut redirects = Vec::new();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        Ok(Command::Compound(compound, redirects))
    }

    fn group(&mut self) -> Result<Compound, Error> {
        self.expect_keyword(b"{")?;
        let list = self.compound_list()?;
        self.expect_keyword(b"}")?;
        Ok(Compound::Group(list))
    }

    fn subshell(&mut self) -> Result<Compound, Error> {
        self.place += 1;
        let list = self.compound_list()?;
        if self.eat(b")") {
            Ok(Compound::Subshell(list))
        } else {
            Err(self.unexpected())
        }
    }

    fn conditional(&mut self) -> Result<Compound, Error> {
        self.expect_keyword(b"if")?;
        let mut arms = Vec::new();
        loop {
            let condition = self.compound_list()?;
            self.expect_keyword(b"then")?;
            arms.push((condition, self.compound_list()?));
            if !self.eat_keyword(b"elif") {
                break;
            }
        }
        let otherwise = if self.eat_keyword(b"else") {
            Some(self.compound_list()?)
        } else {
            None
        };
        self.expect_keyword(b"fi")?;
        Ok(Compound::If { arms, otherwise })
    }

    fn body(&mut self) -> Result<List, Error> {
        self.expect_keyword(b"do")?;
        let body = self.compound_list()?;
        self.expect_keyword(b"done")?;
        Ok(body)
    }

    fn repeated(&mut self, keyword: &[u8], kind: LoopKind) -> Result<Compound, Error> {
        self.expect_keyword(keyword)?;
        let condition = self.compound_list()?;
        let body = self.body()?;
        Ok(Compound::Loop {
            kind,
            condition,
            body,
        })
    }

    fn for_loop(&mut self) -> Result<Compound, Error> {
        self.expect_keyword(b"for")?;
        self.blanks();
        let name = self.name();
        if !is_name(&name) {
            return Err(if self.peek().is_none() {
                Error::Incomplete
            } else {
                self.error("Bad for loop variable")
            });
        }
        self.newlines()?;
        let mut words = None;
        if self.eat_keyword(b"in") {
            let mut list = Vec::new();
            loop {
                self.blanks();
                match self.peek() {
                    Some(byte) if !ends_word(byte) => list.push(self.word(Ending::Word)?),
                    _ => break,
                }
            }
            words = Some(list);
            if !self.eat(b";") && self.peek() != Some(b'\n') {
                return Err(self.unexpected());
            }
        } else {
            self.eat(b";");
        }
        self.newlines()?;
        let body = self.body()?;
        Ok(Compound::For { name, words, body })
    }

    fn case(&mut self) -> Result<Compound, Error> {
        self.expect_keyword(b"case")?;
        self.blanks();
        let word = self.required_word()?;
        self.newlines()?;
        self.expect_keyword(b"in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines()?;
            if self.eat_keyword(b"esac") {
                return Ok(Compound::Case { word, arms });
            }
            self.eat(b"(");
            let mut patterns = Vec::new();
            loop {
                self.blanks();
                patterns.push(self.required_word()?);
                self.blanks();
                if !self.eat(b"|") {
                    break;
                }
            }
            if !self.eat(b")") {
                return Err(self.unexpected());
            }
            arms.push((patterns, self.deeper(Self::possible_list)?));
            if !self.eat(b";;") {
                self.expect_keyword(b"esac")?;
                return Ok(Compound::Case { word, arms });
            }
        }
    }

    fn required_word(&mut self) -> Result<Word, Error> {
        match self.peek() {
            Some(byte) if !ends_word(byte) => self.word(Ending::Word),
            _ => Err(self.unexpected()),
        }
    }

    /// The letters, digits and underscores that come.
    pub(super) fn name(&mut self) -> Bytes {
        let rest = self.rest();
        let end = rest
            .iter()
            .position(|byte| !is_name_byte(*byte))
            .unwrap_or(rest.len());
        self.place += end;
        rest.get(..end).unwrap_or(&[]).to_vec()
    }

    fn simple(&mut self) -> Result<Command, Error> {
        let mut simple = Simple {
            line: self.line(),
            ..Simple::default()
        };
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
                continue;
            }
            match self.peek() {
                Some(byte) if !ends_word(byte) => {}
                Some(b'(') if is_function_name(&simple) => return self.function(&simple),
                _ => break,
            }
            if simple.words.is_empty()
                && let Some(assignment) = self.assignment()?
            {
                simple.assignments.push(assignment);
                continue;
            }
            simple.words.push(self.word(Ending::Word)?);
        }
        let is_empty =
            simple.words.is_empty() && simple.assignments.is_empty() && simple.redirects.is_empty();
        if is_empty {
            Err(self.unexpected())
        } else {
            Ok(Command::Simple(simple))
        }
    }

    /// `NAME=word`, if that comes.
    fn assignment(&mut self) -> Result<Option<(Bytes, Word)>, Error> {
        let start = self.place;
        let name = self.name();
        if !is_name(&name) || !self.eat(b"=") {
            self.place = start;
            return Ok(None);
        }
        Ok(Some((name, self.word(Ending::Assignment)?)))
    }

    /// The rest of `name() command`.
    fn function(&mut self, simple: &Simple) -> Result<Command, Error> {
        let name = simple.words.first().and_then(Word::plain).unwrap_or(b"").to_vec();
        self.place += 1;
        self.blanks();
        if !self.eat(b")") {
            return Err(self.unexpected());
        }
        self.newlines()?;
        let body = self.deeper(Self::command)?;
        Ok(Command::Function(name, Rc::new(body)))
    }

    /// A redirection, if one comes.
    fn redirect(&mut self) -> Result<Option<Redirect>, Error> {
        self.blanks();
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let Some(sign @ (b'<' | b'>')) = rest.get(digits).copied() else {
            return Ok(None);
        };
        let fd = match digits {
            0 => None,
            _ => {
                let fd = crate::text::number(rest.get(..digits).unwrap_or(&[]));
                let fd = fd.and_then(|fd| i32::try_from(fd).ok()).filter(|fd| *fd < 1024);
                Some(fd.ok_or_else(|| self.error("Bad fd number"))?)
            }
        };
        self.place += digits + 1;
        let kind = match sign {
            b'<' if self.eat(b"<") => {
                let strips_tabs = self.eat(b"-");
                return Ok(Some(Redirect {
                    fd,
                    kind: self.here(strips_tabs)?,
                }));
            }
            b'<' if self.eat(b"&") => RedirectKind::CopyIn,
            b'<' if self.eat(b">") => RedirectKind::ReadWrite,
            b'<' => RedirectKind::Read,
            _ if self.eat(b">") => RedirectKind::Append,
            _ if self.eat(b"&") => RedirectKind::CopyOut,
            _ => {
                self.eat(b"|");
                RedirectKind::Write
            }
        };
        self.blanks();
        let word = self.required_word()?;
        Ok(Some(Redirect { fd, kind: kind(word) }))
    }

    #[allow(clippy::fn_params_excessive_bools, reason = "it is a field of the kind")]
    fn here(&mut self, strips_tabs: bool) -> Result<RedirectKind, Error> {
        self.blanks();
        let word = self.required_word()?;
        let (delimiter, is_literal) = super::heredoc::delimiter(&word);
        let kind = Here {
            strips_tabs,
            is_literal,
        };
        let body = Rc::new(OnceCell::new());
        let waiting = Waiting {
            delimiter,
            kind,
            body: Rc::clone(&body),
        };
        self.waiting.push(waiting);
        Ok(RedirectKind::Here(body))
    }
}

/// Whether what was read so far is one plain word, so that `(` makes a function of it.
fn is_function_name(simple: &Simple) -> bool {
    let [word] = simple.words.as_slice() else {
        return false;
    };
    // More than names, as in bash: `:` and `my-function` too.
    let is_fit = |name: &[u8]| {
        name.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte))
    };
    simple.assignments.is_empty() && simple.redirects.is_empty() && word.plain().is_some_and(is_fit)
}
