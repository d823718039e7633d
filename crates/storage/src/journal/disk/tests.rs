//! What was written is there again, whatever way it took: past the page cache or through it.

use super::*;

const SEGMENT: u64 = 4 * 1024 * 1024;

/// Writes as frames come: odd lengths, one behind another, synced or only handed over.
fn fill(files: &mut Files, from: usize, expected: &mut Vec<u8>) {
    for (turn, length) in [64, 700, 3332, 1, 4095, 4096, 4097, 300_000, 12, 8200].into_iter().enumerate() {
        let bytes: Vec<u8> = (0..length).map(|index| (index * 7 + turn + from) as u8 | 1).collect();
        files.write(1, size(expected.len()), &bytes).unwrap();
        expected.extend_from_slice(&bytes);
        match turn % 3 {
            0 => files.sync(1).unwrap(),
            1 => files.hand_over(1).unwrap(),
            _ => {}
        }
    }
    files.sync(1).unwrap();
}

fn without_direct_writes(files: &mut Files) {
    files.segments.iter_mut().for_each(|segment| segment.direct = None);
}

#[test]
fn what_was_synced_is_in_the_file_and_zeros_behind_it() {
    for is_direct in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        // Each opening goes on in the middle of a block.
        for opening in 0..3 {
            let mut files = Files::open(directory.path(), 2, SEGMENT).unwrap();
            if !is_direct {
                without_direct_writes(&mut files);
            }
            fill(&mut files, opening, &mut expected);
            let read = std::fs::read(directory.path().join("segment-2")).unwrap();
            let (written, ahead) = read.split_at(expected.len());
            assert!(written == expected, "opening {opening}, direct {is_direct}");
            assert!(!ahead.is_empty() && ahead.iter().all(|byte| *byte == 0));
            assert!(size(read.len()) <= SEGMENT);
            assert!(files.read(1).unwrap() == read);
        }
    }
}

#[test]
fn what_was_handed_over_is_seen_by_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::open(directory.path(), 1, SEGMENT).unwrap();
    files.write(0, 0, b"marks").unwrap();
    files.hand_over(0).unwrap();
    assert!(std::fs::read(directory.path().join("segment-1")).unwrap().starts_with(b"marks"));
}

#[test]
fn a_segment_is_begun_again_over_what_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::open(directory.path(), 1, SEGMENT).unwrap();
    files.write(0, 0, &[7; 20_000]).unwrap();
    files.sync(0).unwrap();
    files.write(0, 0, &[8; 64]).unwrap();
    files.write(0, 64, &[9; 100]).unwrap();
    files.sync(0).unwrap();
    let read = files.read(0).unwrap();
    assert_eq!(read[..164], [[8; 64].as_slice(), &[9; 100]].concat());
    // Old frames beyond the block are as they were.
    assert!(read[4096..20_000].iter().all(|byte| *byte == 7));
}

#[test]
fn a_file_system_that_takes_no_direct_writes_gets_ordinary_ones() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::open(directory.path(), 1, SEGMENT).unwrap();
    // This file refuses, as such a file system does, before anything is written: what it is given is not a number.
    files.segments[0].direct = Some(File::options().write(true).open("/proc/self/oom_score_adj").unwrap());
    files.write(0, 0, b"frame").unwrap();
    assert!(files.segments[0].direct.is_none());
    files.sync(0).unwrap();
    assert!(files.read(0).unwrap().starts_with(b"frame"));
}
