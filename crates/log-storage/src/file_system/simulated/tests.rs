//! What the simulated disk promises to its users: it loses exactly what was not synced.

use super::*;
use crate::file_system::{read_file, write_aside};

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(1)
}

fn read(disk: &SimulatedDisk, path: &str) -> Option<Vec<u8>> {
    read_file(disk, Path::new(path), 1_000_000).ok()
}

#[test]
fn unsynced_bytes_and_names_are_lost_at_a_crash() {
    let disk = disk();
    let file = disk.open(Path::new("a"), OpenMode::Create).unwrap();
    file.write_at(b"one", 0).unwrap();
    file.sync_data().unwrap();
    disk.crash(CrashMode::LoseAll);
    assert_eq!(read(&disk, "a"), None, "the name was not synced");

    let file = disk.open(Path::new("a"), OpenMode::Create).unwrap();
    file.write_at(b"one", 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_at(b"two", 3).unwrap();
    assert_eq!(read(&disk, "a").unwrap(), b"onetwo");
    disk.crash(CrashMode::LoseAll);
    assert_eq!(read(&disk, "a").unwrap(), b"one");
    assert!(file.write_at(b"x", 0).is_err(), "the handle died with the power");
}

#[test]
fn a_removed_name_comes_back_when_the_removal_was_not_synced() {
    let disk = disk();
    write_aside(&disk, Path::new("a"), b"one").unwrap();
    disk.remove_file(Path::new("a")).unwrap();
    disk.crash(CrashMode::LoseAll);
    assert_eq!(read(&disk, "a").unwrap(), b"one");
}

#[test]
fn writing_aside_leaves_the_old_or_the_new_content_at_every_crash() {
    for seed in 0..20 {
        for operations in 0..8 {
            let disk = SimulatedDisk::new(seed);
            write_aside(&disk, Path::new("a"), b"old").unwrap();
            disk.power_off_after(operations);
            let outcome = write_aside(&disk, Path::new("a"), b"newer");
            disk.crash(CrashMode::Random);
            let content = read(&disk, "a").unwrap();
            assert!(content == b"old" || content == b"newer", "{content:?}");
            if outcome.is_ok() {
                assert_eq!(content, b"newer");
            }
        }
    }
}

#[test]
fn a_random_crash_tears_writes_at_sectors_and_repeats_with_its_seed() {
    let crashed = |seed| {
        let disk = SimulatedDisk::new(seed);
        let file = disk.open(Path::new("a"), OpenMode::Create).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        for index in 0..8_u8 {
            file.write_at(&[index + 1; 1_000], u64::from(index) * 1_000).unwrap();
        }
        disk.crash(CrashMode::Random);
        read(&disk, "a").unwrap()
    };
    assert_eq!(crashed(3), crashed(3));
    let differing = (0..20).map(crashed).collect::<BTreeSet<_>>().len();
    assert!(differing > 10, "{differing} outcomes");
}

#[test]
fn faults_come_when_and_where_they_were_ordered() {
    let disk = disk();
    let fault = |operation, error| Fault {
        operation,
        path_contains: ".log".to_owned(),
        after: 1,
        times: 1,
        error,
    };
    disk.inject(fault(FaultOperation::SyncData, io::ErrorKind::Other));
    disk.inject(fault(FaultOperation::Write, io::ErrorKind::StorageFull));
    let other = disk.open(Path::new("x.index"), OpenMode::Create).unwrap();
    let file = disk.open(Path::new("x.log"), OpenMode::Create).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_at(b"abcd", 0).unwrap();
    let full = file.write_at(b"efgh", 4).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 6, "half of the bytes fitted");
    file.sync_data().unwrap();
    file.write_at(b"ij", 6).unwrap();
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    other.sync_data().unwrap();
    disk.crash(CrashMode::KeepAll);
    assert_eq!(read(&disk, "x.log").unwrap(), b"abcdefij", "the cache has what the device lost");
    disk.open(Path::new("x.log"), OpenMode::Read).unwrap().drop_cached().unwrap();
    assert_eq!(read(&disk, "x.log").unwrap(), b"abcdef");
}

#[test]
fn after_a_kill_everything_is_there_and_a_later_power_loss_may_take_it() {
    let disk = disk();
    write_aside(&disk, Path::new("a"), b"one").unwrap();
    disk.open(Path::new("a"), OpenMode::Write).unwrap().write_at(b"two", 3).unwrap();
    disk.open(Path::new("b"), OpenMode::Create).unwrap();
    disk.crash(CrashMode::KeepAll);
    assert_eq!(read(&disk, "a").unwrap(), b"onetwo");
    assert!(disk.exists(Path::new("b")).unwrap());
    disk.crash(CrashMode::LoseAll);
    assert_eq!(read(&disk, "a").unwrap(), b"one");
    assert!(!disk.exists(Path::new("b")).unwrap());
}

#[test]
fn a_full_disk_refuses_writes_and_a_lock_excludes() {
    let disk = disk();
    disk.set_total_bytes(10);
    let file = disk.open(Path::new("a"), OpenMode::Create).unwrap();
    file.write_at(&[0; 8], 0).unwrap();
    assert_eq!(file.write_at(&[0; 8], 8).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let lock = disk.lock(Path::new("lock")).unwrap();
    assert_eq!(disk.lock(Path::new("lock")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(lock);
    assert!(disk.lock(Path::new("lock")).is_ok());
}
