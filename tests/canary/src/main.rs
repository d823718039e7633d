//! `claviger-canary LIST PATH…`: searches files and folders for the secrets of a list, `name<tab>secret` a line. Prints
//! each find as `name in place`; ends with 1 when there are any.

use claviger_canary::Needles;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(list) = arguments.next() else {
        eprintln!("claviger-canary LIST PATH…");
        return ExitCode::from(2);
    };
    match run(&list, arguments.collect()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(list: &Path, mut waiting: Vec<PathBuf>) -> std::io::Result<usize> {
    let mut needles = Needles::default();
    for line in std::fs::read_to_string(list)?.lines() {
        if let Some((name, secret)) = line.split_once('\t') {
            needles.add(name, secret);
        }
    }
    let (mut finds, mut files, mut bytes) = (0, 0_u64, 0_u64);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path)?.filter_map(|entry| Some(entry.ok()?.path())));
        } else if path.is_file() {
            let (names, length) = needles.hits_in_file(&path)?;
            names.iter().for_each(|name| println!("{name} in {}", path.display()));
            (finds, files, bytes) = (finds + names.len(), files + 1, bytes + length);
        }
    }
    eprintln!("{} secrets looked for in {files} files of {} MiB: {finds} finds", needles.count(), bytes >> 20);
    Ok(finds)
}
