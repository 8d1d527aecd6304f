//! The bytes that a program's pages come from.

/// A program's file. It stays as it is while anything of it may still be paged in.
#[derive(Clone, Debug)]
pub struct ProgramFile<'a>(&'a [u8]);

impl<'a> ProgramFile<'a> {
    /// A file of the archive.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// Copies bytes from `offset` on; how many, fewer than asked for at the file's end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..));
        let source = rest.unwrap_or(&[]);
        let count = source.len().min(buffer.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..count), source.get(..count)) {
            target.copy_from_slice(source);
        }
        count
    }
}
