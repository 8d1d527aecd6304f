//! Regular expressions of POSIX, as `grep` takes them. Basic ones: `.` `*` `[...]` `^` `$` `\(...\)` `\{m,n\}`, and GNU's
//! `\+` `\?` `\|`; extended ones have these without the backslash. Back-references are not there.
//!
//! A pattern becomes a small machine whose states are all followed at once (Thompson's construction), so that no
//! pattern takes more than the product of its length and the text's.
use crate::pattern::class_of;
use alloc::string::String;
use alloc::vec::Vec;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Byte(u8),
    Any,
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
    Begin,
    End,
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        node: alloc::boxed::Box<Node>,
        least: usize,
        most: Option<usize>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Byte(u8),
    Any,
    Class { negated: bool, ranges: Vec<(u8, u8)> },
    Begin,
    End,
    Split(usize, usize),
    Jump(usize),
    Match,
}

/// How case counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// Letters are what they are.
    Sensitive,
    /// Upper and lower case are the same.
    Ignored,
}

/// What a special character looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// `\(`, `\|`, `\{` and so on.
    Basic,
    /// `(`, `|`, `{`; with a backslash they are themselves.
    Extended,
}

/// A regular expression, ready to be searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regex {
    steps: Vec<Step>,
    case: Case,
}

/// Larger machines are refused: repetitions of repetitions multiply.
const MOST_STEPS: usize = 20_000;
const DEPTH: usize = 50;

impl Regex {
    /// Reads a regular expression.
    ///
    /// # Errors
    /// What to say.
    pub fn new(text: &[u8], syntax: Syntax, case: Case) -> Result<Self, String> {
        let mut reader = Reader {
            rest: text,
            depth: 0,
            syntax,
        };
        let node = reader.either()?;
        if !reader.rest.is_empty() {
            return Err("Unmatched ) or \\)".into());
        }
        Self::compile(&node, case)
    }

    /// A text that is only itself.
    ///
    /// # Errors
    /// What to say.
    pub fn fixed(text: &[u8], case: Case) -> Result<Self, String> {
        Self::compile(
            &Node::Sequence(text.iter().map(|byte| Node::Byte(*byte)).collect()),
            case,
        )
    }

    fn compile(node: &Node, case: Case) -> Result<Self, String> {
        let mut steps = Vec::new();
        emit(node, &mut steps)?;
        steps.push(Step::Match);
        Ok(Self { steps, case })
    }

    /// Whether it occurs in `line`.
    #[must_use]
    pub fn occurs_in(&self, line: &[u8]) -> bool {
        let mut threads = Threads::new(self.steps.len());
        let mut next = Threads::new(self.steps.len());
        for place in 0..=line.len() {
            if threads.add(self, 0, place, line.len()) {
                return true;
            }
            let Some(byte) = line.get(place) else { return false };
            next.clear();
            for step in &threads.list {
                if self.takes(*step, *byte) && next.add(self, step + 1, place + 1, line.len()) {
                    return true;
                }
            }
            core::mem::swap(&mut threads, &mut next);
        }
        false
    }

    fn takes(&self, step: usize, byte: u8) -> bool {
        let same = |wanted: u8| match self.case {
            Case::Sensitive => wanted == byte,
            Case::Ignored => wanted.eq_ignore_ascii_case(&byte),
        };
        let within = |ranges: &[(u8, u8)], byte: u8| {
            ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&byte))
        };
        match self.steps.get(step) {
            Some(Step::Byte(wanted)) => same(*wanted),
            Some(Step::Any) => true,
            Some(Step::Class { negated, ranges }) => {
                let found = match self.case {
                    Case::Sensitive => within(ranges, byte),
                    Case::Ignored => {
                        within(ranges, byte.to_ascii_lowercase()) || within(ranges, byte.to_ascii_uppercase())
                    }
                };
                found != *negated
            }
            _ => false,
        }
    }
}

/// The steps that the machine may be at.
struct Threads {
    list: Vec<usize>,
    known: Vec<bool>,
}

impl Threads {
    fn new(count: usize) -> Self {
        Self {
            list: Vec::new(),
            known: alloc::vec![false; count],
        }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.known.fill(false);
    }

    /// Adds a step and all that can be reached from it without a byte; whether the end is among them.
    fn add(&mut self, regex: &Regex, step: usize, place: usize, length: usize) -> bool {
        let mut open = Vec::from([step]);
        while let Some(step) = open.pop() {
            match self.known.get_mut(step) {
                Some(known) if !*known => *known = true,
                _ => continue,
            }
            match regex.steps.get(step) {
                Some(Step::Match) => return true,
                Some(Step::Jump(to)) => open.push(*to),
                Some(Step::Split(first, second)) => open.extend([*first, *second]),
                Some(Step::Begin) if place == 0 => open.push(step + 1),
                Some(Step::End) if place == length => open.push(step + 1),
                Some(Step::Begin | Step::End) | None => {}
                Some(_) => self.list.push(step),
            }
        }
        false
    }
}

fn emit(node: &Node, steps: &mut Vec<Step>) -> Result<(), String> {
    if steps.len() > MOST_STEPS {
        return Err("Regular expression too big".into());
    }
    match node {
        Node::Byte(byte) => steps.push(Step::Byte(*byte)),
        Node::Any => steps.push(Step::Any),
        Node::Class { negated, ranges } => {
            steps.push(Step::Class {
                negated: *negated,
                ranges: ranges.clone(),
            });
        }
        Node::Begin => steps.push(Step::Begin),
        Node::End => steps.push(Step::End),
        Node::Sequence(nodes) => {
            for node in nodes {
                emit(node, steps)?;
            }
        }
        Node::Either(nodes) => {
            let mut ends = Vec::new();
            for (index, node) in nodes.iter().enumerate() {
                if index + 1 == nodes.len() {
                    emit(node, steps)?;
                    break;
                }
                let split = steps.len();
                steps.push(Step::Match);
                emit(node, steps)?;
                ends.push(steps.len());
                steps.push(Step::Match);
                leave(steps, split);
            }
            for end in ends {
                let after = steps.len();
                set(steps, end, Step::Jump(after));
            }
        }
        Node::Repeat { node, least, most } => {
            for _ in 0..*least {
                emit(node, steps)?;
            }
            match most {
                None => {
                    let split = steps.len();
                    steps.push(Step::Match);
                    emit(node, steps)?;
                    steps.push(Step::Jump(split));
                    leave(steps, split);
                }
                Some(most) => {
                    for _ in *least..*most {
                        let split = steps.len();
                        steps.push(Step::Match);
                        emit(node, steps)?;
                        leave(steps, split);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Makes the step at `split` one that goes on, or past all that there is so far.
fn leave(steps: &mut [Step], split: usize) {
    let after = steps.len();
    set(steps, split, Step::Split(split + 1, after));
}

fn set(steps: &mut [Step], place: usize, step: Step) {
    if let Some(slot) = steps.get_mut(place) {
        *slot = step;
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
    syntax: Syntax,
}

impl Reader<'_> {
    fn eat(&mut self, text: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        true
    }

    /// What follows `byte` where it stands next and is special, in a syntax that has it with a backslash or without.
    fn past_special<'b>(&self, text: &'b [u8], byte: u8) -> Option<&'b [u8]> {
        match self.syntax {
            Syntax::Basic => text.strip_prefix(&[b'\\', byte]),
            Syntax::Extended => text.strip_prefix(&[byte]),
        }
    }

    fn is_special(&self, text: &[u8], byte: u8) -> bool {
        self.past_special(text, byte).is_some()
    }

    fn eat_special(&mut self, byte: u8) -> bool {
        match self.past_special(self.rest, byte) {
            Some(rest) => self.rest = rest,
            None => return false,
        }
        true
    }

    /// A brace that begins no bounds is itself in an extended expression.
    fn eat_bounds(&mut self) -> bool {
        let begins = match (self.syntax, self.rest) {
            (Syntax::Extended, [b'{', next, ..]) => next.is_ascii_digit() || *next == b',',
            (Syntax::Extended, _) => false,
            (Syntax::Basic, _) => true,
        };
        begins && self.eat_special(b'{')
    }

    fn ends_sequence(&self, text: &[u8]) -> bool {
        text.is_empty() || self.is_special(text, b'|') || self.is_special(text, b')')
    }

    fn either(&mut self) -> Result<Node, String> {
        if self.depth == DEPTH {
            return Err("Regular expression too big".into());
        }
        self.depth += 1;
        let mut nodes = Vec::from([self.sequence()?]);
        while self.eat_special(b'|') {
            nodes.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(Node::Either(nodes))
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        let is_extended = self.syntax == Syntax::Extended;
        let mut is_first = true;
        loop {
            if self.ends_sequence(self.rest) {
                return Ok(Node::Sequence(nodes));
            }
            // In a basic expression they are anchors at its edges alone.
            match self.rest {
                [b'^', rest @ ..] if is_extended || nodes.is_empty() => {
                    self.rest = rest;
                    nodes.push(Node::Begin);
                    continue;
                }
                [b'$', rest @ ..] if is_extended || self.ends_sequence(rest) => {
                    self.rest = rest;
                    nodes.push(Node::End);
                    continue;
                }
                _ => {}
            }
            // A star at the beginning is itself.
            let atom = if is_first && self.eat(b"*") {
                Node::Byte(b'*')
            } else {
                self.atom()?
            };
            is_first = false;
            nodes.push(self.repeated(atom)?);
        }
    }

    fn atom(&mut self) -> Result<Node, String> {
        if self.eat_special(b'(') {
            let node = self.either()?;
            return if self.eat_special(b')') {
                Ok(node)
            } else {
                Err("Unmatched ( or \\(".into())
            };
        }
        if self.eat(b"[") {
            return self.class();
        }
        match self.rest {
            [b'\\'] => Err("Trailing backslash".into()),
            [b'\\', byte @ b'1'..=b'9', ..] => Err(alloc::format!(
                "Back-references (\\{}) are not supported",
                char::from(*byte)
            )),
            [b'\\', byte, rest @ ..] => {
                self.rest = rest;
                Ok(Node::Byte(*byte))
            }
            [b'.', rest @ ..] => {
                self.rest = rest;
                Ok(Node::Any)
            }
            [byte, rest @ ..] => {
                self.rest = rest;
                Ok(Node::Byte(*byte))
            }
            [] => Err("Invalid regular expression".into()),
        }
    }

    fn repeated(&mut self, mut node: Node) -> Result<Node, String> {
        let mut repetitions = 0;
        loop {
            let (least, most) = if self.eat(b"*") {
                (0, None)
            } else if self.eat_special(b'+') {
                (1, None)
            } else if self.eat_special(b'?') {
                (0, Some(1))
            } else if self.eat_bounds() {
                self.bounds()?
            } else {
                return Ok(node);
            };
            repetitions += 1;
            if repetitions > DEPTH {
                return Err("Regular expression too big".into());
            }
            node = Node::Repeat {
                node: node.into(),
                least,
                most,
            };
        }
    }

    fn count(&mut self) -> Option<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        usize::try_from(crate::text::number(number)?).ok()
    }

    fn bounds(&mut self) -> Result<(usize, Option<usize>), String> {
        let least = self.count();
        let most = if self.eat(b",") { self.count() } else { least };
        if !self.eat_special(b'}') {
            return Err("Unmatched \\{".into());
        }
        let least = least.unwrap_or(0);
        if least > 255 || most.is_some_and(|most| most > 255 || most < least) {
            return Err("Invalid content of \\{\\}".into());
        }
        Ok((least, most))
    }

    fn class(&mut self) -> Result<Node, String> {
        const UNMATCHED: &str = "Unmatched [, [^, [:, [., or [=";
        let negated = self.eat(b"^");
        let mut ranges = Vec::new();
        let mut is_first = true;
        loop {
            let (byte, rest) = self.rest.split_first().ok_or(UNMATCHED)?;
            self.rest = rest;
            if *byte == b']' && !is_first {
                return Ok(Node::Class { negated, ranges });
            }
            is_first = false;
            if *byte == b'[' && rest.first() == Some(&b':') {
                let end = crate::text::find(rest, b":]").ok_or(UNMATCHED)?;
                let name = rest.get(1..end).unwrap_or(&[]);
                ranges.extend_from_slice(class_of(name).ok_or("Invalid character class name")?);
                self.rest = rest.get(end + 2..).unwrap_or(&[]);
                continue;
            }
            match rest {
                [b'-', last, rest @ ..] if *last != b']' => {
                    if last < byte {
                        return Err("Invalid range end".into());
                    }
                    ranges.push((*byte, *last));
                    self.rest = rest;
                }
                _ => ranges.push((*byte, *byte)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn occurs(regex: &str, line: &str) -> bool {
        Regex::new(regex.as_bytes(), Syntax::Basic, Case::Sensitive)
            .unwrap()
            .occurs_in(line.as_bytes())
    }

    #[test]
    fn expressions_are_those_of_grep() {
        for (regex, line, expected) in [
            ("", "x", true),
            ("abc", "xabcx", true),
            ("^abc", "xabc", false),
            ("c$", "abc", true),
            ("a$c", "a$c", true),
            ("a.c", "abc", true),
            ("ab*c", "ac", true),
            ("ab*c", "abbbbc", true),
            ("*a", "*a", true),
            ("[b-d]x", "cx", true),
            ("[^b-d]x", "cx", false),
            ("[[:digit:]]\\+$", "ab12", true),
            ("\\(ab\\)*c", "ababc", true),
            ("^a\\{2,3\\}$", "aaa", true),
            ("^a\\{2,3\\}$", "aaaa", false),
            ("one\\|two", "two", true),
            ("^x\\?y$", "y", true),
            ("a\\.b", "axb", false),
            ("[]x]", "]", true),
        ] {
            assert_eq!(occurs(regex, line), expected, "{regex} {line}");
        }
        for bad in ["[", "\\(", "\\)", "a\\{3", "a\\{3,1\\}", "\\", "[[:no:]]", "\\1"] {
            assert!(
                Regex::new(bad.as_bytes(), Syntax::Basic, Case::Sensitive).is_err(),
                "{bad}"
            );
        }
        let ignoring = Regex::new(b"aBc[d]", Syntax::Basic, Case::Ignored).unwrap();
        assert!(ignoring.occurs_in(b"AbCD"));
        assert!(Regex::fixed(b"a.c", Case::Sensitive).unwrap().occurs_in(b"xa.cx"));
    }

    #[test]
    fn extended_expressions_are_those_of_grep() {
        for (regex, line, expected) in [
            ("^(fig|pear)$", "pear", true),
            ("^(fig|pear)$", "pears", false),
            ("^a+b?$", "aa", true),
            ("^a+b?$", "b", false),
            ("^(ab){2}c{1,}$", "ababcc", true),
            ("a\\+b", "a+b", true),
            ("\\(a\\)", "(a)", true),
            ("a{x", "a{x", true),
            ("x|^y", "zy", false),
            ("(^a|b$)", "cb", true),
            ("a|", "x", true),
            ("()b", "b", true),
        ] {
            let read = Regex::new(regex.as_bytes(), Syntax::Extended, Case::Sensitive);
            assert_eq!(
                read.unwrap().occurs_in(line.as_bytes()),
                expected,
                "{regex} {line}"
            );
        }
        for bad in ["(", ")", "a{3", "a{3,1}", "[", "\\", "((a)"] {
            assert!(
                Regex::new(bad.as_bytes(), Syntax::Extended, Case::Sensitive).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn repetitions_of_repetitions_are_refused_or_quick() {
        let nested = b"\\(\\(\\(a\\{255\\}\\)\\{255\\}\\)\\{255\\}\\)\\{255\\}";
        assert!(Regex::new(nested, Syntax::Basic, Case::Sensitive).is_err());
        assert!(!occurs("\\(a*\\)*\\(a*\\)*b", &"a".repeat(2000)));
    }

    proptest! {
        #[test]
        fn no_expression_panics(regex: Vec<u8>, line: Vec<u8>) {
            for syntax in [Syntax::Basic, Syntax::Extended] {
                if let Ok(regex) = Regex::new(&regex, syntax, Case::Sensitive) {
                    let _ = regex.occurs_in(&line);
                }
            }
        }

        #[test]
        fn a_fixed_text_occurs_where_it_is(text: Vec<u8>, line: Vec<u8>) {
            let regex = Regex::fixed(&text, Case::Sensitive).unwrap();
            prop_assert_eq!(regex.occurs_in(&line), crate::text::find(&line, &text).is_some());
        }
    }
}
