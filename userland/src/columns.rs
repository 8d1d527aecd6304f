//! Names in columns, as `ls` shows them at a terminal: down, then across.
use alloc::vec::Vec;

/// Between two columns.
const GAP: usize = 2;

/// Lines of `names` for a terminal that is `width` columns wide; as few lines as fit.
#[must_use]
pub fn arrange(names: &[&[u8]], width: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let (rows, widths) = fewest_rows(names, width);
    for row in 0..rows {
        for (column, column_width) in widths.iter().enumerate() {
            let Some(name) = names.get(column * rows + row) else {
                break;
            };
            output.extend_from_slice(name);
            if names.get((column + 1) * rows + row).is_some() {
                output.resize(
                    output.len() + (column_width + GAP).saturating_sub(shown(name)),
                    b' ',
                );
            }
        }
        output.push(b'\n');
    }
    output
}

/// Columns that a name takes.
fn shown(name: &[u8]) -> usize {
    name.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// The number of rows, and the width of each column.
fn fewest_rows(names: &[&[u8]], width: usize) -> (usize, Vec<usize>) {
    let mut rows = 1;
    loop {
        let columns = names.chunks(rows);
        let widths: Vec<usize> = columns
            .map(|column| column.iter().map(|name| shown(name)).max().unwrap_or(0))
            .collect();
        let all = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        if all < width || rows >= names.len() {
            return (if names.is_empty() { 0 } else { rows }, widths);
        }
        rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_down_and_then_across() {
        let names: [&[u8]; 5] = [b"a", b"bb", b"ccc", b"d", b"e"];
        assert_eq!(arrange(&names, 80), b"a  bb  ccc  d  e\n");
        assert_eq!(arrange(&names, 12), b"a   ccc  e\nbb  d\n");
        assert_eq!(arrange(&names, 1), b"a\nbb\nccc\nd\ne\n");
        assert_eq!(arrange(&[], 80), b"");
    }
}
