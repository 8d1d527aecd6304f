//! Every scene in `demos/` is a test: it ends as it says.
use abi::reason::Reason;
use image_builder::scene::{Options, Scene};
use image_builder::workspace;
use std::fs;
use std::path::PathBuf;

fn demos() -> Vec<PathBuf> {
    let directory = workspace::root().join("demos");
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut demos: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    demos.sort();
    demos
}

#[test]
fn every_demo_ends_as_it_says() {
    let mut failed = Vec::new();
    for path in demos() {
        let name = format!("demo-{}", path.file_stem().unwrap().display());
        let scene = Scene::from_file(&path).unwrap();
        let outcome = scene.boot(&Options::new(&name).typing("echo hello\n")).unwrap();
        if !outcome.verdict.is_good() {
            failed.push(format!("{name}:\n{}", outcome.report()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What no guest brings about by itself: a person does, and a processor might.
const NOT_BY_A_GUEST: [Reason; 2] = [Reason::Destroyed, Reason::DoubleFault];

#[test]
fn every_way_to_die_that_a_guest_has_is_a_scene() {
    let scenes: Vec<String> = demos()
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for reason in Reason::ALL
        .iter()
        .filter(|reason| !NOT_BY_A_GUEST.contains(reason))
    {
        let end = format!("\"killed:{}\"", reason.name());
        assert!(
            scenes.iter().any(|scene| scene.contains(&end)),
            "no scene shows {end}"
        );
    }
}

#[test]
fn cat_gives_back_what_is_typed() {
    let demo = workspace::root().join("demos/cat.toml");
    let scene = Scene::from_file(&demo).unwrap();
    let outcome = scene
        .boot(&Options::new("demo-cat-typed").typing("hello\nyou"))
        .unwrap();
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    for word in ["hello", "you"] {
        assert!(outcome.console.contains(word), "{}", outcome.console);
    }
}
