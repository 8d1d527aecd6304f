//! From a manifest to the files of a boot partition: builds what the scene names, reads the rest, checks it.
use crate::annotate::Executables;
use crate::archive::{Archive, PROGRAM_LIST, program_list};
use crate::bare_metal::{self, Binaries, HYPERVISOR, Packages, USERLAND};
use crate::c_kernel;
use crate::elf;
use crate::manifest::{Domain, Kernel, Located, Manifest, Module, Packed, Position};
use crate::records::{self, ModuleIndexes};
use crate::setup;
use crate::similar::similar;
use crate::symbols;
use crate::workspace;
use abi::boot_image::NO_MODULE;
use anyhow::{Context, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file that is packed.
const MAX_FILE: u64 = 1 << 30;
/// Largest manifest.
const MAX_MANIFEST: u64 = 1 << 20;

/// A manifest and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// How messages call it: the path that the user gave.
    pub name: String,
    /// What its paths are relative to.
    pub directory: PathBuf,
}

impl Source {
    fn error(&self, at: Position, what: impl std::fmt::Display) -> anyhow::Error {
        anyhow!("{}:{at}: {what}", self.name)
    }

    fn read(&self, path: &str, at: Position) -> Result<Vec<u8>> {
        let file = self.directory.join(path);
        let refuse = |what: &dyn std::fmt::Display| {
            Err(self.error(at, format!("cannot read {}: {what}", file.display())))
        };
        // Reading a device or a pipe might never end.
        match fs::metadata(&file) {
            Ok(about) if !about.is_file() => refuse(&"it is no plain file"),
            Ok(about) if about.len() > MAX_FILE => refuse(&"it is larger than 1 GiB"),
            Ok(_) => fs::read(&file).or_else(|error| refuse(&error)),
            Err(error) => refuse(&error),
        }
    }
}

/// What the boot partition holds, besides GRUB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootFiles {
    /// The hypervisor's ELF.
    pub hypervisor: Vec<u8>,
    /// The boot modules in their order; the first one holds the records.
    pub modules: Vec<BootModule>,
    /// What was packed, whole: for the source lines of records.
    pub executables: Executables,
}

/// One boot module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootModule {
    /// For people: the first use of it.
    pub label: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// A scene whose names and files were found to be there and sound: nothing is built yet.
#[derive(Debug)]
pub struct Recipe<'a> {
    manifest: &'a Manifest,
    source: &'a Source,
    known: Packages,
    packages: BTreeSet<String>,
}

impl<'a> Recipe<'a> {
    /// Resolves a scene's names and reads its files, so that a mistake is told before a long build.
    pub fn resolve(manifest: &'a Manifest, source: &'a Source) -> Result<Self> {
        let known = Packages::find()?;
        let packages = packages_of(manifest, source, &known)?;
        Ok(Self {
            manifest,
            source,
            known,
            packages,
        })
    }

    /// Builds what the scene names and packs all of it.
    pub fn pack(&self) -> Result<BootFiles> {
        // First, for it takes a moment, and what is wrong in it is the user's.
        let compiled = compile(self.manifest, self.source)?;
        let binaries = bare_metal::build(&self.known, &self.packages)?;
        assemble(self.manifest, self.source, &self.known, &binaries, &compiled)
    }
}

/// Kernels that were compiled from these sources.
type Compiled = BTreeMap<Vec<String>, Arc<[u8]>>;

fn compile(manifest: &Manifest, source: &Source) -> Result<Compiled> {
    let mut compiled = Compiled::new();
    for Domain { kernel, .. } in &manifest.domains {
        let Kernel::Sources(paths) = &kernel.value else {
            continue;
        };
        if compiled.contains_key(paths) {
            continue;
        }
        let files: Vec<PathBuf> = paths.iter().map(|path| source.directory.join(path)).collect();
        let bytes = c_kernel::compile(&files).map_err(|what| source.error(kernel.at, what))?;
        elf::check_kernel(&bytes)
            .map_err(|what| source.error(kernel.at, format!("{} {what}", paths.join(", "))))?;
        compiled.insert(paths.clone(), bytes.into());
    }
    Ok(compiled)
}

/// The packages that a scene needs; refuses names that nothing has and files that will not do.
fn packages_of(manifest: &Manifest, source: &Source, known: &Packages) -> Result<BTreeSet<String>> {
    let mut packages = BTreeSet::from([HYPERVISOR.to_owned()]);
    for domain in &manifest.domains {
        match &domain.kernel.value {
            Kernel::Workspace(name) => {
                packages.insert(package_of_kernel(name, domain.kernel.at, source, known)?.to_owned());
            }
            Kernel::File(_) | Kernel::Unchecked(_) => drop(kernel_file(&domain.kernel, source)?),
            Kernel::Sources(paths) => {
                for path in paths {
                    drop(source.read(path, domain.kernel.at)?);
                }
            }
        }
        match &domain.module {
            Module::None => {}
            Module::File(path) => drop(source.read(&path.value, path.at)?),
            Module::Archive {
                programs,
                tools,
                files,
            } => {
                let names = programs.iter().map(|line| (line.value.first(), line.at));
                let tools = tools.iter().map(|tool| (Some(&tool.value), tool.at));
                for (name, at) in names.chain(tools) {
                    check_program(name, at, source, known)?;
                    packages.insert(USERLAND.to_owned());
                }
                for file in files.values() {
                    match &file.value {
                        // It is installed before it is packed.
                        Packed::Plain(path) | Packed::Program { path, .. }
                            if setup::need_of_file(path).is_some() => {}
                        Packed::Plain(path) | Packed::Program { path, .. } => {
                            drop(source.read(path, file.at)?)
                        }
                        Packed::Symlink(_) | Packed::Directory => {}
                    }
                }
            }
        }
    }
    Ok(packages)
}

fn check_program(name: Option<&String>, at: Position, source: &Source, known: &Packages) -> Result<()> {
    let programs = known.programs();
    match name {
        Some(name) if programs.contains(&name.as_str()) => Ok(()),
        name => {
            let name = name.map_or("", String::as_str);
            let all = programs.join(", ");
            Err(source.error(at, format!("there is no program `{name}` (there are: {all})")))
        }
    }
}

fn package_of_kernel<'a>(name: &str, at: Position, source: &Source, known: &'a Packages) -> Result<&'a str> {
    known.of_kernel(name).ok_or_else(|| {
        let all = known.kernels().join(", ");
        let what =
            format!("there is no guest kernel `{name}` (there are: {all}; a path has a `/` or `.` in it)");
        source.error(at, what)
    })
}

/// A kernel as it is packed, and as its author built it.
struct KernelFile {
    label: String,
    content: Vec<u8>,
    whole: Arc<[u8]>,
}

impl KernelFile {
    /// Without what no loader reads.
    fn checked(label: &str, whole: Arc<[u8]>) -> Self {
        Self {
            label: label.to_owned(),
            content: elf::without_sections(&whole),
            whole,
        }
    }
}

fn kernel_file(kernel: &Located<Kernel>, source: &Source) -> Result<Option<KernelFile>> {
    match &kernel.value {
        Kernel::Workspace(_) | Kernel::Sources(_) => Ok(None),
        Kernel::File(path) => {
            let bytes = source.read(path, kernel.at)?;
            elf::check_kernel(&bytes).map_err(|what| source.error(kernel.at, format!("{path} {what}")))?;
            Ok(Some(KernelFile::checked(path, bytes.into())))
        }
        Kernel::Unchecked(path) => {
            let content = source.read(path, kernel.at)?;
            Ok(Some(KernelFile {
                label: path.clone(),
                whole: content.as_slice().into(),
                content,
            }))
        }
    }
}

/// Boot modules by content: what several domains use is packed once.
#[derive(Default)]
struct Modules {
    list: Vec<BootModule>,
    by_content: BTreeMap<Vec<u8>, u32>,
}

impl Modules {
    /// The index of a module with this content; the records are number 0.
    fn index_of(&mut self, label: &str, content: Vec<u8>) -> u32 {
        let next = self.list.len() as u32 + 1;
        *self.by_content.entry(content).or_insert_with_key(|content| {
            self.list.push(BootModule {
                label: label.to_owned(),
                content: content.clone(),
            });
            next
        })
    }

    /// The index of the module with the names of an executable's functions; none if it has no symbol table.
    fn symbols_of(&mut self, label: &str, whole: &[u8]) -> u32 {
        match symbols::functions(whole) {
            functions if functions.is_empty() => NO_MODULE,
            functions => self.index_of(&format!("{label}-symbols"), symbols::to_bytes(&functions)),
        }
    }
}

fn assemble(
    manifest: &Manifest,
    source: &Source,
    known: &Packages,
    binaries: &Binaries,
    compiled: &Compiled,
) -> Result<BootFiles> {
    let mut modules = Modules::default();
    let mut indexes = Vec::new();
    let mut executables = Executables {
        hypervisor: Arc::clone(&binaries.get(HYPERVISOR, HYPERVISOR)?.bytes),
        kernels: BTreeMap::new(),
    };
    for domain in &manifest.domains {
        let KernelFile {
            label,
            content,
            whole,
        } = match (&domain.kernel.value, kernel_file(&domain.kernel, source)?) {
            (_, Some(file)) => file,
            (Kernel::Sources(paths), None) => {
                let kernel = compiled.get(paths).context("a kernel was not compiled")?;
                KernelFile::checked(&paths.join(" "), Arc::clone(kernel))
            }
            (_, None) => workspace_kernel(domain, source, known, binaries)?,
        };
        let kernel = modules.index_of(&label, content);
        let symbols = modules.symbols_of(&label, &whole);
        executables.kernels.insert(domain.name.clone(), whole);
        let guest = match guest_module(domain, source, binaries)? {
            Some(content) => modules.index_of(&format!("{}-module", domain.name), content),
            None => NO_MODULE,
        };
        indexes.push(ModuleIndexes {
            kernel,
            guest,
            symbols,
        });
    }
    let symbols = modules.symbols_of(HYPERVISOR, &executables.hypervisor);
    let records = BootModule {
        label: "records".to_owned(),
        content: records::to_bytes(manifest, &indexes, symbols),
    };
    let hypervisor = elf::without_sections(&executables.hypervisor);
    let modules = [records].into_iter().chain(modules.list).collect();
    Ok(BootFiles {
        hypervisor,
        modules,
        executables,
    })
}

fn workspace_kernel(
    domain: &Domain,
    source: &Source,
    known: &Packages,
    binaries: &Binaries,
) -> Result<KernelFile> {
    let Kernel::Workspace(name) = &domain.kernel.value else {
        return Err(anyhow!("the kernel of {} is a file", domain.name));
    };
    let package = package_of_kernel(name, domain.kernel.at, source, known)?;
    let bytes = &binaries.get(package, name)?.bytes;
    elf::check_kernel(bytes)
        .map_err(|what| source.error(domain.kernel.at, format!("the kernel {name} {what}")))?;
    Ok(KernelFile::checked(name, Arc::clone(bytes)))
}

fn guest_module(domain: &Domain, source: &Source, binaries: &Binaries) -> Result<Option<Vec<u8>>> {
    match &domain.module {
        Module::None => Ok(None),
        Module::File(path) => source.read(&path.value, path.at).map(Some),
        Module::Archive {
            programs,
            tools,
            files,
        } => {
            let mut archive = Archive::default();
            let names = programs.iter().filter_map(|line| line.value.first());
            let names: BTreeSet<&String> = names.chain(tools.iter().map(|tool| &tool.value)).collect();
            for name in names {
                let program = elf::without_sections(&binaries.get(USERLAND, name)?.bytes);
                archive.add_program(&format!("bin/{name}"), &program);
            }
            let lines = programs.iter().map(|line| line.value.as_slice());
            if !programs.is_empty() {
                archive.add_file(PROGRAM_LIST, &program_list(lines));
            }
            for (inside, file) in files {
                match &file.value {
                    Packed::Plain(path) => archive.add_file(inside, &source.read(path, file.at)?),
                    Packed::Program { path, names } => {
                        archive.add_program(inside, &source.read(path, file.at)?);
                        let (above, own) = inside.rsplit_once('/').unwrap_or(("", inside));
                        for name in names {
                            let link = if above.is_empty() {
                                name.clone()
                            } else {
                                format!("{above}/{name}")
                            };
                            archive.add_symlink(&link, own);
                        }
                    }
                    Packed::Symlink(target) => archive.add_symlink(inside, target),
                    Packed::Directory => archive.add_directory(inside),
                }
            }
            Ok(Some(archive.finish()))
        }
    }
}

/// Which scene may have been meant, behind the name of one that is not there: of its own directory, or of `demos`.
fn meant(path: &Path) -> String {
    if path.exists() {
        return String::new();
    }
    let scene = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    let beside = path
        .parent()
        .map(|directory| Path::new(".").join(directory))
        .unwrap_or_default();
    let found = [beside, workspace::root().join("demos")]
        .iter()
        .find_map(|directory| {
            let files = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
            let scenes: Vec<String> = files
                .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
                .filter_map(|file| scene(&file))
                .collect();
            let meant = similar(&scene(path)?, scenes.iter().map(String::as_str))?;
            Some(directory.join(meant).with_extension("toml"))
        });
    found.map_or_else(String::new, |found| format!(" (there is {})", shown(&found)))
}

/// A path as a user would type it: without the directory that we are in.
fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(".").unwrap_or(path);
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Reads a manifest's file.
pub fn read_manifest(path: &Path) -> Result<(Manifest, Source)> {
    let name = path.display().to_string();
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_MANIFEST + 1).read_to_end(&mut text))
        .with_context(|| format!("cannot read the manifest {name}{}", meant(path)))?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(anyhow!("{name} is no manifest: it is larger than 1 MiB"));
    }
    let text = String::from_utf8(text).map_err(|_| anyhow!("{name} is no manifest: it is not UTF-8 text"))?;
    let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let manifest = Manifest::parse(&text).map_err(|error| match error.at {
        Some(_) => anyhow!("{name}:{error}"),
        None => anyhow!("{name}: {error}"),
    })?;
    Ok((manifest, Source { name, directory }))
}
