//! The disk: partition table, GRUB before the partition, a FAT32 file system in it. One raw image for BIOS and UEFI
//! machines, QEMU, Bochs, and a USB stick.
//!
//! ```text
//! sector 0      GRUB's boot code, the partition table
//! sector 1      GRUB's core image
//! sector 2048   one active partition of type 0xef (EFI system): FAT32
//!                 EFI/BOOT/BOOTX64.EFI   GRUB for UEFI
//!                 xen-lite/xen-lite      the hypervisor
//!                 xen-lite/m000 ...      its modules
//! ```
use crate::grub::{self, BOOT_CODE_SIZE, Grub};
use crate::pack::BootFiles;
use anyhow::{Context, Result, bail};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::{BufStream, StreamSlice};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

const SECTOR: u64 = 512;
/// Where the partition starts, in sectors: at 1 MiB, where partitions usually do.
const PARTITION_START: u64 = 2048;
/// The type of an EFI system partition in an MBR.
const EFI_SYSTEM: u8 = 0xef;
/// Smallest partition: FAT32 wants 65525 clusters, here of one sector.
const SMALLEST: u64 = 36 << 20;
/// From this size on, clusters have 8 sectors: the tables of such a partition would take long to write.
const LARGE: u64 = 512 << 20;
/// Bochs wants whole cylinders of 16 heads with 63 sectors.
const CYLINDER: u64 = 16 * 63 * SECTOR;
/// Identifies the disk; any number does.
const SIGNATURE: [u8; 4] = *b"xnlt";

/// Writes the image to `path`: whole, or not at all.
pub fn write(path: &Path, files: &BootFiles) -> Result<()> {
    check_destination(path)?;
    let grub = grub::make(files)?;
    let directory = directory_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(".image-")
        .tempfile_in(directory)
        .with_context(|| {
            format!(
                "cannot write {}: nothing can be created in {}",
                path.display(),
                directory.display()
            )
        })?;
    let told = || format!("cannot write {}", path.display());
    lay_out(file.as_file_mut(), &grub, files).with_context(told)?;
    make_readable(file.as_file()).with_context(told)?;
    file.persist(path)
        .map_err(|failed| failed.error)
        .with_context(told)?;
    Ok(())
}

/// Refuses early what could not be written after a long build.
pub fn check_destination(path: &Path) -> Result<()> {
    if path.file_name().is_none() {
        bail!(
            "cannot write the image {}: it is not the name of a file",
            path.display()
        );
    }
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => bail!("cannot write the image {}: it is a directory", path.display()),
        Ok(about) if !about.is_file() => {
            bail!(
                "cannot write the image {}: it is not a plain file",
                path.display()
            )
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => bail!("cannot write the image {}: {error}", path.display()),
    }
    let directory = directory_of(path);
    match fs::metadata(directory) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => bail!(
            "cannot write the image {}: {} is no directory",
            path.display(),
            directory.display()
        ),
        Err(error) => {
            bail!(
                "cannot write the image {}: the directory {}: {error}",
                path.display(),
                directory.display()
            )
        }
    }
    tempfile::tempfile_in(directory).map(drop).with_context(|| {
        format!(
            "cannot write the image {}: nothing can be created in {}",
            path.display(),
            directory.display()
        )
    })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Temporary files are private; an image is a file like any other.
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn lay_out(file: &mut File, grub: &Grub, files: &BootFiles) -> Result<()> {
    let partition = partition_size(grub, files);
    let start = PARTITION_START * SECTOR;
    let size = (start + partition).next_multiple_of(CYLINDER);
    file.set_len(size)?;
    write_partition_table(file, grub, partition / SECTOR)?;
    if SECTOR + grub.core.len() as u64 > start {
        bail!("GRUB's core image is too large to stand before the partition");
    }
    file.seek(SeekFrom::Start(SECTOR))?;
    file.write_all(&grub.core)?;
    fill(
        StreamSlice::new(&mut *file, start, start + partition)?,
        partition,
        grub,
        files,
    )
}

/// Room for the files, the file system's tables and some air.
fn partition_size(grub: &Grub, files: &BootFiles) -> u64 {
    let modules: usize = files
        .modules
        .iter()
        .map(|module| module.content.len().next_multiple_of(4096))
        .sum();
    let content = (grub.efi.len() + files.hypervisor.len() + modules) as u64;
    (content + content / 32 + (2 << 20))
        .max(SMALLEST)
        .next_multiple_of(1 << 20)
}

fn write_partition_table(file: &mut File, grub: &Grub, sectors: u64) -> Result<()> {
    let mut table = MBR::new_from(file, SECTOR as u32, SIGNATURE)?;
    for (to, from) in table
        .header
        .bootstrap_code
        .iter_mut()
        .zip(&grub.boot_code[..BOOT_CODE_SIZE])
    {
        *to = *from;
    }
    table[1] = MBRPartitionEntry {
        boot: BOOT_ACTIVE,
        first_chs: CHS::empty(),
        sys: EFI_SYSTEM,
        last_chs: CHS::empty(),
        starting_lba: PARTITION_START as u32,
        sectors: u32::try_from(sectors).context("the image would be larger than 2 TiB")?,
    };
    table.write_into(file)?;
    Ok(())
}

fn fill<T: Read + Write + Seek>(mut partition: T, size: u64, grub: &Grub, files: &BootFiles) -> Result<()> {
    let cluster = if size >= LARGE { 4096 } else { 512 };
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(cluster)
        .volume_label(*b"XEN-LITE   ");
    {
        let mut buffered = BufStream::new(&mut partition);
        fatfs::format_volume(&mut buffered, options)?;
        buffered.flush()?;
    }
    partition.seek(SeekFrom::Start(0))?;
    let volume = FileSystem::new(BufStream::new(partition), FsOptions::new())?;
    {
        let root = volume.root_dir();
        let efi = root.create_dir("EFI")?.create_dir("BOOT")?;
        efi.create_file("BOOTX64.EFI")?.write_all(&grub.efi)?;
        let boot = root.create_dir(grub::DIRECTORY)?;
        boot.create_file("xen-lite")?.write_all(&files.hypervisor)?;
        for (index, module) in files.modules.iter().enumerate() {
            boot.create_file(&grub::module_file(index))?
                .write_all(&module.content)?;
        }
    }
    volume.unmount()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::BootModule;

    fn grub() -> Grub {
        Grub {
            boot_code: vec![0xb0; BOOT_CODE_SIZE],
            core: vec![0xc0; 70_001],
            efi: vec![0xef; 90_000],
        }
    }

    fn files(module_size: usize) -> BootFiles {
        let module = |label: &str, content: Vec<u8>| BootModule {
            label: label.to_owned(),
            content,
        };
        BootFiles {
            hypervisor: vec![7; 12_345],
            modules: vec![
                module("records", vec![1, 2, 3]),
                module("big", vec![9; module_size]),
            ],
            executables: Default::default(),
        }
    }

    fn image(files: &BootFiles) -> File {
        let mut file = tempfile::tempfile().unwrap();
        lay_out(&mut file, &grub(), files).unwrap();
        file
    }

    fn read_at(mut file: &File, at: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        file.seek(SeekFrom::Start(at)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_disk_has_boot_code_and_one_active_efi_partition() {
        let mut file = image(&files(0));
        assert_eq!(read_at(&file, 0, BOOT_CODE_SIZE), grub().boot_code);
        assert_eq!(read_at(&file, SECTOR, 70_001), grub().core);
        file.rewind().unwrap();
        let table = MBR::read_from(&mut file, SECTOR as u32).unwrap();
        let partitions: Vec<_> = table.iter().filter(|(_, entry)| entry.is_used()).collect();
        assert_eq!(partitions.len(), 1);
        let (_, entry) = partitions[0];
        assert!(entry.is_active());
        assert_eq!((entry.sys, entry.starting_lba), (EFI_SYSTEM, 2048));
        let size = file.metadata().unwrap().len();
        assert_eq!(size % CYLINDER, 0);
        assert!(u64::from(entry.starting_lba + entry.sectors) * SECTOR <= size);
    }

    #[test]
    fn the_files_are_read_back_from_the_partition() {
        let files = files(1_000_001);
        let file = image(&files);
        let start = PARTITION_START * SECTOR;
        let partition = StreamSlice::new(&file, start, file.metadata().unwrap().len()).unwrap();
        let volume = FileSystem::new(BufStream::new(partition), FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), FatType::Fat32);
        let read = |path: &str| {
            let mut bytes = Vec::new();
            volume
                .root_dir()
                .open_file(path)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        };
        assert_eq!(read("EFI/BOOT/BOOTX64.EFI"), grub().efi);
        assert_eq!(read("xen-lite/xen-lite"), files.hypervisor);
        assert_eq!(read("xen-lite/m000"), files.modules[0].content);
        assert!(read("xen-lite/m001") == files.modules[1].content);
    }

    #[test]
    fn the_partition_grows_with_its_files() {
        assert_eq!(partition_size(&grub(), &files(0)), SMALLEST);
        let large = 80 << 20;
        assert!(partition_size(&grub(), &files(large)) > large as u64);
    }

    #[test]
    fn a_core_image_that_reaches_the_partition_is_refused() {
        let too_large = Grub {
            core: vec![0; 2048 * 512],
            ..grub()
        };
        let mut file = tempfile::tempfile().unwrap();
        assert!(lay_out(&mut file, &too_large, &files(0)).is_err());
    }
}
