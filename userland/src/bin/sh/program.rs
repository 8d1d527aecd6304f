//! What the shell was called with, and where its commands come from.
use crate::flow::{Flow, Outcome};
use crate::shell::Shell;
use userland::text::Text;
use userland::{files, io, terminal};

/// Runs what the arguments say.
pub(crate) fn run(shell: &mut Shell, arguments: &[&'static [u8]]) -> Outcome {
    let mut rest = arguments;
    let mut has_text = false;
    let mut reads_input = false;
    while let Some((argument, after)) = rest.split_first() {
        let Some(letters) = argument
            .strip_prefix(b"-")
            .or_else(|| argument.strip_prefix(b"+"))
        else {
            break;
        };
        rest = after;
        if letters.is_empty() || *argument == b"--" {
            break;
        }
        for letter in letters {
            match letter {
                b'c' => has_text = true,
                b's' => reads_input = true,
                // A login shell is no other here.
                b'l' => {}
                b'i' => shell.options.interactive = argument.starts_with(b"-"),
                letter => {
                    if shell.set_option(*letter, argument.starts_with(b"-")).is_err() {
                        shell.complain(format_args!("Illegal option -{}", Text(&[*letter])));
                        return Ok(2);
                    }
                }
            }
        }
    }
    if has_text {
        let Some((text, after)) = rest.split_first() else {
            shell.complain("-c requires an argument");
            return Ok(2);
        };
        if let Some((name, after)) = after.split_first() {
            shell.name = name.to_vec();
            shell.positional = after.iter().map(|argument| argument.to_vec()).collect();
        }
        return shell.text(text, 1);
    }
    match rest.split_first() {
        Some((path, after)) if !reads_input => {
            shell.name = path.to_vec();
            shell.positional = after.iter().map(|argument| argument.to_vec()).collect();
            match files::content(path) {
                Ok(text) => shell.text(&text, 1),
                Err(error) => {
                    shell.line = 0;
                    shell.complain(format_args!("can't open '{}': {error}", Text(path)));
                    Err(Flow::Exit(2))
                }
            }
        }
        _ => {
            shell.positional = rest.iter().map(|argument| argument.to_vec()).collect();
            let at_terminal = terminal::is_terminal(io::STDIN) && terminal::is_terminal(io::STDERR);
            if shell.options.interactive || at_terminal {
                shell.begin_interactive();
            }
            shell.input()
        }
    }
}
