//! Bad input to the command: one clear line, exit code 2, and nothing left half-written.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory with a kernel that passes and a manifest around it.
struct Place(TempDir);

impl Place {
    fn new(manifest: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("scene.toml", manifest.as_bytes());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    fn build_to(&self, output: &Path) -> Output {
        let output = output.to_str().unwrap();
        image_builder(&["build", self.path("scene.toml").to_str().unwrap(), "-o", output])
    }
}

fn image_builder(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What was said; the exit code must be 2, the output empty, and the message one line.
fn refusal(output: &Output) -> String {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("image-builder: "), "{message}");
    assert!(output.stdout.is_empty());
    message
}

const SCENE: &str = "[[domain]]\nname = \"a\"\nkernel = \"./kernel.elf\"\n";

#[test]
fn a_missing_manifest_is_named() {
    let message = refusal(&image_builder(&["run", "no/such.toml", "--headless"]));
    assert!(
        message.contains("cannot read the manifest no/such.toml: No such file"),
        "{message}"
    );
}

#[test]
fn who_mistypes_a_manifest_is_told_which_one_there_is() {
    let place = Place::new(SCENE);
    let typed = place.path("scnee.toml");
    let message = refusal(&image_builder(&["run", typed.to_str().unwrap()]));
    let there = place.path("scene.toml");
    assert!(
        message.contains(&format!("(there is {}): No such file", there.display())),
        "{message}"
    );
    // A demo by its name, from wherever it is typed.
    let message = refusal(&image_builder(&["run", "two"]));
    assert!(message.contains("demos/two.toml): No such file"), "{message}");
}

#[test]
fn who_mistypes_a_case_is_told_which_one_there_is() {
    for typed in [
        ["run", "--case", "gest-panic"].as_slice(),
        &["cases", "gest-panic"],
    ] {
        let message = refusal(&image_builder(typed));
        assert!(message.contains("(there is guest-panic): see"), "{message}");
    }
    let message = refusal(&image_builder(&["run", "--case", "no such"]));
    assert!(message.contains("there is no case no such: see"), "{message}");
}

#[test]
fn a_case_that_needs_keys_is_not_tried_in_bochs() {
    let case = "event-in-the-return";
    let message = refusal(&image_builder(&["run", "--machine", "bochs", "--case", case]));
    assert!(message.contains("does not run in Bochs"), "{message}");
}

#[test]
fn a_directory_is_no_manifest() {
    let place = Place::new(SCENE);
    let message = refusal(&image_builder(&["run", place.0.path().to_str().unwrap()]));
    assert!(message.contains("cannot read the manifest"), "{message}");
}

#[test]
fn bad_toml_is_told_with_file_line_and_column() {
    let place = Place::new("[[domain]]\nname = \"a\nkernel = 1\n");
    let output = place.path("disk.img");
    let message = refusal(&place.build_to(&output));
    assert!(message.contains("scene.toml:2:"), "{message}");
    assert!(!output.exists());
}

#[test]
fn text_that_is_no_utf8_is_no_manifest() {
    let place = Place::new(SCENE);
    place.write("scene.toml", b"\xff\xfe");
    assert!(refusal(&place.build_to(&place.path("disk.img"))).contains("not UTF-8"));
}

#[test]
fn unknown_keys_and_no_memory_are_told_where_they_stand() {
    for (line, part) in [
        ("memroy = 1", "4:1: unknown"),
        ("memory = 0", "4:10: a domain with no memory"),
    ] {
        let place = Place::new(&format!("{SCENE}{line}\n"));
        let message = refusal(&place.build_to(&place.path("disk.img")));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn kernels_that_cannot_run_are_told_before_anything_is_built() {
    let no_segments = {
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[0x10] = 2;
        elf[0x12] = 62;
        elf
    };
    let mut hostile = no_segments.clone();
    hostile[0x20..0x28].fill(0xff);
    hostile[0x36] = 56;
    hostile[0x38] = 9;
    let kernels: [(&[u8], &str); 5] = [
        (b"", "is no ELF file"),
        (b"#!/bin/sh\necho hello\n", "is no ELF file"),
        (&no_segments[..40], "is truncated"),
        (&no_segments, "has nothing to load"),
        (&hostile, "is truncated: its program headers lie beyond its end"),
    ];
    for (kernel, part) in kernels {
        let place = Place::new(SCENE);
        place.write("kernel.elf", kernel);
        let output = place.path("disk.img");
        let message = refusal(&place.build_to(&output));
        assert!(
            message.contains("scene.toml:3:10: ./kernel.elf ") && message.contains(part),
            "{message}"
        );
        assert!(!output.exists());
    }
}

#[test]
fn what_never_ends_is_not_read() {
    let message = refusal(&image_builder(&["run", "/dev/zero", "--headless"]));
    assert!(
        message.contains("/dev/zero is no manifest: it is larger than 1 MiB"),
        "{message}"
    );
    let place = Place::new("[[domain]]\nname = \"a\"\nkernel = \"/dev/zero\"\n");
    let message = refusal(&place.build_to(&place.path("disk.img")));
    assert!(
        message.contains("3:10: cannot read /dev/zero: it is no plain file"),
        "{message}"
    );
}

#[test]
fn a_missing_kernel_and_unknown_names_are_told_where_they_stand() {
    let place = Place::new(SCENE);
    let message = refusal(&place.build_to(&place.path("disk.img")));
    assert!(
        message.contains("scene.toml:3:10: cannot read") && message.contains("No such file"),
        "{message}"
    );

    let place = Place::new("[[domain]]\nname = \"a\"\nkernel = \"no-such-kernel\"\n");
    let message = refusal(&place.build_to(&place.path("disk.img")));
    assert!(
        message.contains("3:10: there is no guest kernel `no-such-kernel`"),
        "{message}"
    );

    let program = "[[domain]]\nname = \"a\"\nkernel = \"pv-kernel\"\nprograms = [[\"no-such-program\"]]\n";
    let place = Place::new(program);
    let message = refusal(&place.build_to(&place.path("disk.img")));
    assert!(
        message.contains("4:13: there is no program `no-such-program`"),
        "{message}"
    );
}

#[test]
fn images_that_cannot_be_written_are_told_before_anything_is_built() {
    let place = Place::new(SCENE);
    let message = refusal(&place.build_to(&place.path("no/such/disk.img")));
    assert!(
        message.contains("no/such: No such file or directory"),
        "{message}"
    );

    let message = refusal(&place.build_to(place.0.path()));
    assert!(message.contains("it is a directory"), "{message}");

    let message = refusal(&place.build_to(&place.path("scene.toml/disk.img")));
    assert!(message.contains("cannot write the image"), "{message}");

    let message = refusal(&place.build_to(Path::new("/proc/disk.img")));
    assert!(message.contains("nothing can be created in /proc"), "{message}");
}

#[test]
fn a_failed_build_leaves_the_old_image_and_nothing_else() {
    let place = Place::new(SCENE);
    place.write("kernel.elf", b"no kernel");
    place.write("disk.img", b"the old one");
    refusal(&place.build_to(&place.path("disk.img")));
    assert_eq!(fs::read(place.path("disk.img")).unwrap(), b"the old one");
    let names = fs::read_dir(place.0.path()).unwrap().count();
    assert_eq!(names, 3, "only the manifest, the kernel and the old image");
}

#[test]
fn what_emulators_cannot_do_is_told() {
    let place = Place::new(SCENE);
    let scene = place.path("scene.toml");
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", scene.to_str().unwrap(), "--headless"];
        arguments.extend(more);
        refusal(&image_builder(&arguments))
    };
    assert!(run(&["--machine", "bochs", "--firmware", "uefi"]).contains("Bochs cannot do --firmware uefi"));
    assert!(run(&["--machine", "bochs", "--icount"]).contains("Bochs cannot do --icount"));
    assert!(run(&["--accel", "kvm", "--icount"]).contains("leave out --accel kvm"));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [
        &["fly"][..],
        &["build"],
        &["run", "--timeout", "0"],
        &["run", "--machine", "vax"],
    ] {
        assert_eq!(image_builder(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(image_builder(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_machine_without_the_programs_is_told_what_to_install() {
    let place = Place::new("[[domain]]\nname = \"a\"\nkernel = \"pv-kernel\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    command.args(["run", place.path("scene.toml").to_str().unwrap(), "--headless"]);
    // Neither QEMU, nor grub-mkimage, nor apt-get is to be found.
    let output = command
        .env("PATH", place.0.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let message = refusal(&output);
    assert!(
        message.contains("missing: grub-common ") && message.contains("qemu-system-x86"),
        "{message}"
    );
}

#[test]
fn a_source_of_a_kernel_that_is_not_there_is_named_before_anything_is_built() {
    let place = Place::new("[[domain]]\nname = \"a\"\nkernel = { c = [\"no-such.c\"] }\n");
    let message = refusal(&place.build_to(&place.path("disk.img")));
    assert!(
        message.contains("scene.toml:3:10: cannot read") && message.contains("no-such.c"),
        "{message}"
    );
}

#[test]
fn a_kernel_that_the_compiler_refuses_is_named_and_no_image_is_left() {
    let place = Place::new("[[domain]]\nname = \"a\"\nkernel = { c = \"kernel.c\" }\n");
    place.write(
        "kernel.c",
        b"#include <xen-lite.h>\nint _start(void) { return nothing; }\n",
    );
    let output = place.build_to(&place.path("disk.img"));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("scene.toml:3:10: gcc refused it"), "{message}");
    assert!(
        message.contains("kernel.c:2"),
        "the compiler's own words are shown: {message}"
    );
    assert!(!place.path("disk.img").exists());
}

#[test]
fn an_unknown_case_is_named_and_nothing_is_booted() {
    for arguments in [&["cases", "no-such-case"][..], &["run", "--case", "no-such-case"]] {
        let message = refusal(&image_builder(arguments));
        assert!(message.contains("no-such-case: see `cases --list`"), "{message}");
    }
    let message = refusal(&image_builder(&["cases", "--machine", "bochs", "event-windows"]));
    assert!(message.contains("does not run in Bochs"), "{message}");
}

#[test]
fn the_cases_are_listed_for_people_and_for_tools() {
    let printed = |arguments: &[&str]| {
        let output = image_builder(arguments);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let list = printed(&["cases", "--list", "refusals"]);
    assert!(
        list.contains("\nregistration:\n  refuses-reserved-selectors "),
        "{list}"
    );
    assert!(list.lines().last().unwrap().ends_with(" cases"), "{list}");
    for line in printed(&["cases", "--list", "--json"]).lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_told = ["case", "suite", "group", "story", "expected"].map(|key| row[key].is_string());
        assert_eq!((is_told, row["runs"].is_u64()), ([true; 5], true), "{line}");
        assert!(row.get("ended").is_none(), "{line}: nothing was run");
    }
}
