//! What the kernel says of a process and its descendants: processor time and memory.

use std::collections::BTreeMap;
use std::fs;

/// A second of the clock in which `/proc/PID/stat` counts: the kernel's user-space constant on every Linux machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process and all its descendants, parents first.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = stat_field(child, 1).and_then(|field| u32::try_from(field).ok()) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    found
}

/// User and system time of the tree so far, seconds, to one clock tick (10 ms) per process.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let ticks = tree(pid).into_iter().filter_map(|pid| Some(stat_field(pid, 11)? + stat_field(pid, 12)?));
    ticks.sum::<u64>() as f64 / TICKS_PER_SECOND
}

/// Time of this process, its children that have ended, and all its descendants, seconds.
pub(crate) fn own_seconds() -> f64 {
    let own = std::process::id();
    let ended: u64 = [13, 14].into_iter().filter_map(|number| stat_field(own, number)).sum();
    cpu_seconds(own) + ended as f64 / TICKS_PER_SECOND
}

/// Time that all cores have worked, and that they have existed, seconds; what the host took away counts as work.
pub(crate) fn machine_seconds() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let all: u64 = ticks.iter().sum();
    ((all - idle) as f64 / TICKS_PER_SECOND, all as f64 / TICKS_PER_SECOND)
}

/// Proportional set size of the tree, mebibytes: resident memory, shared pages counted once.
pub(crate) fn memory_mib(pid: u32) -> f64 {
    let kibibytes = tree(pid).into_iter().filter_map(|pid| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().split(' ').next()?.parse::<u64>().ok()
    });
    kibibytes.sum::<u64>() as f64 / 1024.0
}

/// A numeric field of `/proc/PID/stat`, counted from the state behind the command's closing bracket (state = 0).
fn stat_field(pid: u32, number: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_its_children_its_time_and_its_memory() {
        let mut child = std::process::Command::new("sleep").arg("10").spawn().unwrap();
        let own = std::process::id();
        assert!(tree(own).contains(&child.id()));
        assert_eq!(tree(child.id()), [child.id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(memory_mib(own) > 0.5, "{}", memory_mib(own));
        assert!(cpu_seconds(own) >= 0.0);
    }
}
