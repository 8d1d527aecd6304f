//! A process's descriptors: small numbers for open files.
use crate::errno::Errno;
use crate::fs::{PageStore, Vfs};
use alloc::boxed::Box;

/// An open file, by its number in the table of all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileId(pub(super) u32);

/// Most descriptors of a process.
pub const MAX_DESCRIPTORS: usize = 256;

/// What happens to a descriptor when the process becomes another program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExec {
    /// It stays.
    Keep,
    /// It is closed.
    Close,
}

#[derive(Clone, Copy, Debug)]
struct Descriptor {
    file: FileId,
    on_exec: OnExec,
}

/// The descriptors of a process. Each is a share of its open file.
///
/// All their memory is there from the beginning: a process that has come to be can always have as many as it may.
#[derive(Debug)]
pub struct Descriptors {
    places: Box<[Option<Descriptor>; MAX_DESCRIPTORS]>,
}

impl Default for Descriptors {
    fn default() -> Self {
        Self::new()
    }
}

impl Descriptors {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: Box::new([None; MAX_DESCRIPTORS]),
        }
    }

    fn place(&self, number: u64) -> Result<&Descriptor, Errno> {
        let number = usize::try_from(number).map_err(|_| Errno::BAD_FILE)?;
        let place = self.places.get(number).and_then(Option::as_ref);
        place.ok_or(Errno::BAD_FILE)
    }

    /// The open file behind `number`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, number: u64) -> Result<FileId, Errno> {
        self.place(number).map(|descriptor| descriptor.file)
    }

    /// What becomes of `number` at an exec.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn on_exec(&self, number: u64) -> Result<OnExec, Errno> {
        self.place(number).map(|descriptor| descriptor.on_exec)
    }

    /// Says what becomes of `number` at an exec.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_on_exec(&mut self, number: u64, on_exec: OnExec) -> Result<(), Errno> {
        let number = usize::try_from(number).map_err(|_| Errno::BAD_FILE)?;
        let place = self.places.get_mut(number).and_then(Option::as_mut);
        place.ok_or(Errno::BAD_FILE)?.on_exec = on_exec;
        Ok(())
    }

    /// Gives `file`, a share of which passes to this table, the lowest free number from `lowest` on.
    ///
    /// # Errors
    /// `EMFILE`: the share stays the caller's.
    pub fn insert(&mut self, file: FileId, lowest: usize, on_exec: OnExec) -> Result<u64, Errno> {
        let number = self.free_from(lowest).ok_or(Errno::TOO_MANY_FILES)?;
        self.put(number, Descriptor { file, on_exec });
        Ok(number as u64)
    }

    /// Whether so many more numbers are free.
    #[must_use]
    pub fn has_room_for(&self, count: usize) -> bool {
        let used = self.places.iter().flatten().count();
        MAX_DESCRIPTORS - used.min(MAX_DESCRIPTORS) >= count
    }

    /// Lets `number` be `file`, a share of which passes to this table; what it was before, whose share passes to
    /// the caller.
    ///
    /// # Errors
    /// `EBADF`: no such number can be.
    pub fn replace(&mut self, number: u64, file: FileId, on_exec: OnExec) -> Result<Option<FileId>, Errno> {
        let number = usize::try_from(number)
            .ok()
            .filter(|number| *number < MAX_DESCRIPTORS);
        let number = number.ok_or(Errno::BAD_FILE)?;
        let old = self.places.get(number).copied().flatten();
        self.put(number, Descriptor { file, on_exec });
        Ok(old.map(|descriptor| descriptor.file))
    }

    /// Takes `number` out; its share passes to the caller.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn remove(&mut self, number: u64) -> Result<FileId, Errno> {
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| self.places.get_mut(number));
        let descriptor = place.and_then(Option::take).ok_or(Errno::BAD_FILE)?;
        Ok(descriptor.file)
    }

    /// The lowest number that is in use and not below `first`.
    #[must_use]
    pub fn next(&self, first: usize) -> Option<(usize, FileId)> {
        let mut places = self.places.iter().enumerate().skip(first);
        places.find_map(|(number, place)| place.map(|descriptor| (number, descriptor.file)))
    }

    /// The same descriptors for a child.
    #[must_use]
    pub fn fork(&self, vfs: &mut Vfs<'_>) -> Self {
        for descriptor in self.places.iter().flatten() {
            vfs.share(descriptor.file);
        }
        Self {
            places: self.places.clone(),
        }
    }

    /// Closes what does not survive an exec; `closed` hears of every pipe that lost an end.
    pub fn exec(&mut self, vfs: &mut Vfs<'_>, store: &mut dyn PageStore, closed: &mut dyn FnMut(u32)) {
        self.close_where(vfs, store, closed, |descriptor| {
            descriptor.on_exec == OnExec::Close
        });
    }

    /// Closes all of them.
    pub fn close_all(&mut self, vfs: &mut Vfs<'_>, store: &mut dyn PageStore, closed: &mut dyn FnMut(u32)) {
        self.close_where(vfs, store, closed, |_| true);
    }

    fn close_where(
        &mut self,
        vfs: &mut Vfs<'_>,
        store: &mut dyn PageStore,
        closed: &mut dyn FnMut(u32),
        wanted: impl Fn(&Descriptor) -> bool,
    ) {
        for place in self.places.iter_mut() {
            if let Some(descriptor) = place.take_if(|descriptor| wanted(descriptor))
                && let Some(pipe) = vfs.close(descriptor.file, store).pipe
            {
                closed(pipe);
            }
        }
    }

    fn free_from(&self, lowest: usize) -> Option<usize> {
        let mut numbers = lowest..MAX_DESCRIPTORS;
        numbers.find(|number| self.places.get(*number).is_some_and(Option::is_none))
    }

    /// `number` is below [`MAX_DESCRIPTORS`].
    fn put(&mut self, number: usize, descriptor: Descriptor) {
        if let Some(place) = self.places.get_mut(number) {
            *place = Some(descriptor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_given_and_there_is_an_end() {
        let mut table = Descriptors::new();
        for number in 0..MAX_DESCRIPTORS as u64 {
            assert_eq!(table.insert(FileId(7), 0, OnExec::Keep), Ok(number));
        }
        assert_eq!(
            table.insert(FileId(7), 0, OnExec::Keep),
            Err(Errno::TOO_MANY_FILES)
        );
        assert_eq!(table.remove(5), Ok(FileId(7)));
        assert_eq!(table.remove(5), Err(Errno::BAD_FILE));
        assert!(table.has_room_for(1) && !table.has_room_for(2));
        assert_eq!(
            table.insert(FileId(7), 6, OnExec::Keep),
            Err(Errno::TOO_MANY_FILES)
        );
        assert_eq!(table.insert(FileId(8), 0, OnExec::Close), Ok(5));
        assert_eq!(
            (table.get(5), table.on_exec(5)),
            (Ok(FileId(8)), Ok(OnExec::Close))
        );
    }

    #[test]
    fn numbers_beyond_the_last_are_bad() {
        let mut table = Descriptors::new();
        let last = MAX_DESCRIPTORS as u64 - 1;
        assert_eq!(table.replace(last, FileId(1), OnExec::Keep), Ok(None));
        assert_eq!(table.replace(last, FileId(2), OnExec::Keep), Ok(Some(FileId(1))));
        for number in [last + 1, u64::MAX] {
            assert_eq!(
                table.replace(number, FileId(1), OnExec::Keep),
                Err(Errno::BAD_FILE)
            );
            assert_eq!(table.get(number), Err(Errno::BAD_FILE));
        }
        assert_eq!(table.next(0), Some((last as usize, FileId(2))));
    }
}
