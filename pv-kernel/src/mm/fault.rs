//! What a page fault of a program calls for.
use crate::addr::{USER_START, page_floor};
use crate::cause::{Cause, Denial};
use crate::mm::area::{Access, AreaMap, Backing, Protection};
use crate::mm::layout::{STACK_BOTTOM, STACK_GUARD};
use crate::resident::pager::error;
use abi::layout::PAGE_SIZE;

/// A page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The address that was used.
    pub address: u64,
    /// How.
    pub access: Access,
}

impl Fault {
    /// What the CPU says: CR2 and the error code.
    #[must_use]
    pub const fn new(address: u64, error: u64) -> Self {
        let access = if error & error::FETCH != 0 {
            Access::Execute
        } else if error & error::WRITE != 0 {
            Access::Write
        } else {
            Access::Read
        };
        Self { address, access }
    }
}

/// What to do about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Map a new frame at this page.
    Bring {
        /// First address of the page.
        page: u64,
        /// What the program may do there.
        protection: Protection,
        /// What the frame holds.
        fill: Fill,
    },
    /// The page is there: write its entry again, with these rights.
    Refresh(Protection),
    /// The page is there and about to be written: give the program a frame of its own, with these rights.
    Unshare(Protection),
    /// The program may not do that.
    Kill(Cause),
}

/// What a new page holds: zeros, and bytes of the program's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fill {
    /// Where the bytes go in the page.
    pub at: usize,
    /// Where they are in the file.
    pub offset: u64,
    /// How many; 0: only zeros.
    pub length: usize,
}

impl Fill {
    /// Only zeros.
    pub const ZERO: Self = Self {
        at: 0,
        offset: 0,
        length: 0,
    };

    fn new(page: u64, backing: Backing) -> Self {
        let Backing::File { start, end, offset } = backing else {
            return Self::ZERO;
        };
        let from = page.max(start);
        let to = end.min(page + PAGE_SIZE);
        match to.checked_sub(from) {
            None | Some(0) => Self::ZERO,
            Some(length) => Self {
                at: (from - page) as usize,
                offset: offset.saturating_add(from - start),
                length: length as usize,
            },
        }
    }
}

/// Decides about `fault`; `entry` is the L1 entry of its page, 0 if there is none.
#[must_use]
pub fn decide(areas: &AreaMap, fault: Fault, entry: u64) -> Verdict {
    let Fault { address, access } = fault;
    let Some(area) = areas.find(address) else {
        return Verdict::Kill(outside(fault));
    };
    if !area.protection.allows(access) {
        return Verdict::Kill(Cause::Access {
            address,
            access,
            denial: Denial::NotPermitted,
        });
    }
    if entry != 0 {
        return match access {
            Access::Write => Verdict::Unshare(area.protection),
            Access::Read | Access::Execute => Verdict::Refresh(area.protection),
        };
    }
    let page = page_floor(address);
    Verdict::Bring {
        page,
        protection: area.protection,
        fill: Fill::new(page, area.backing),
    }
}

fn outside(fault: Fault) -> Cause {
    let Fault { address, access } = fault;
    if address < USER_START {
        Cause::NullDereference { address, access }
    } else if (STACK_BOTTOM - STACK_GUARD..STACK_BOTTOM).contains(&address) {
        Cause::StackOverflow { address }
    } else {
        Cause::Access {
            address,
            access,
            denial: Denial::NothingThere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::PageRange;
    use crate::mm::area::{Area, Purpose};

    fn areas() -> AreaMap {
        let mut map = AreaMap::new();
        map.insert(Area {
            range: PageRange::new(0x40_0000, 0x40_4000).unwrap(),
            protection: Protection::READ | Protection::EXECUTE,
            backing: Backing::File {
                start: 0x40_0100,
                end: 0x40_2010,
                offset: 0x100,
            },
            purpose: Purpose::Image,
        })
        .unwrap();
        map
    }

    fn brought(address: u64) -> Fill {
        match decide(
            &areas(),
            Fault {
                address,
                access: Access::Read,
            },
            0,
        ) {
            Verdict::Bring { page, fill, .. } => {
                assert_eq!(page, address & !0xfff);
                fill
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_page_of_the_file_holds_the_file_s_bytes_and_zeros_around_them() {
        assert_eq!(
            brought(0x40_0000),
            Fill {
                at: 0x100,
                offset: 0x100,
                length: 0xf00
            }
        );
        assert_eq!(
            brought(0x40_1fff),
            Fill {
                at: 0,
                offset: 0x1000,
                length: 0x1000
            }
        );
        assert_eq!(
            brought(0x40_2000),
            Fill {
                at: 0,
                offset: 0x2000,
                length: 0x10
            }
        );
        assert_eq!(brought(0x40_3000), Fill::ZERO);
    }

    #[test]
    fn a_write_to_text_kills() {
        let fault = Fault::new(0x40_0000, error::WRITE | error::PRESENT | error::USER);
        let cause = Cause::Access {
            address: 0x40_0000,
            access: Access::Write,
            denial: Denial::NotPermitted,
        };
        assert_eq!(decide(&areas(), fault, 0x1000_0025), Verdict::Kill(cause));
    }

    #[test]
    fn a_page_that_is_there_is_only_refreshed() {
        let fault = Fault::new(0x40_0000, error::FETCH | error::USER);
        let verdict = decide(&areas(), fault, 0x1000_0025);
        assert_eq!(verdict, Verdict::Refresh(Protection::READ | Protection::EXECUTE));
    }

    #[test]
    fn a_write_to_a_page_that_is_there_wants_a_frame_of_its_own() {
        let mut areas = AreaMap::new();
        let protection = Protection::READ | Protection::WRITE;
        areas
            .insert(Area {
                range: PageRange::new(0x40_0000, 0x40_1000).unwrap(),
                protection,
                backing: Backing::Zero,
                purpose: Purpose::Mapping,
            })
            .unwrap();
        let fault = Fault::new(0x40_0008, error::WRITE | error::PRESENT | error::USER);
        assert_eq!(decide(&areas, fault, 0x1000_0025), Verdict::Unshare(protection));
    }

    #[test]
    fn faults_outside_every_area_are_told_apart() {
        let kill = |address| match decide(&areas(), Fault::new(address, error::WRITE), 0) {
            Verdict::Kill(cause) => cause,
            other => panic!("{other:?}"),
        };
        assert!(matches!(
            kill(8),
            Cause::NullDereference {
                address: 8,
                access: Access::Write
            }
        ));
        assert!(matches!(kill(STACK_BOTTOM - 8), Cause::StackOverflow { .. }));
        assert!(matches!(
            kill(0x50_0000),
            Cause::Access {
                denial: Denial::NothingThere,
                ..
            }
        ));
        assert!(matches!(
            kill(u64::MAX),
            Cause::Access {
                denial: Denial::NothingThere,
                ..
            }
        ));
    }
}
