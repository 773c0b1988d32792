//! The data directory, on a real disk and through crashes.

use model::UnixMillis;

use super::*;
use crate::file_system::{CrashMode, OpenMode, OsFileSystem, SimulatedDisk};
use crate::log::Log;

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.to_owned(), partition }
}

fn id(number: u8) -> TopicId {
    TopicId::from_bytes([number; 16])
}

fn open_on(disk: &SimulatedDisk) -> LogDirectory {
    LogDirectory::open(Arc::new(disk.clone()), Path::new("data"), FatalHandler::ignore()).unwrap()
}

#[test]
fn identity_epoch_and_clean_mark_survive_a_power_loss() {
    let disk = SimulatedDisk::new(1);
    let directory = open_on(&disk);
    assert_eq!(directory.meta().unwrap(), None);
    assert_eq!(directory.broker_epoch().unwrap(), None);
    let meta = MetaProperties {
        cluster_id: Some(ClusterId("q1Sh-9_ISia_zwGINzRvyQ".to_owned())),
        node_id: BrokerId(3),
        directory_id: DirectoryId::from_bytes([9; 16]),
        raft_id: u64::MAX,
    };
    directory.write_meta(&meta).unwrap();
    directory.write_broker_epoch(BrokerEpoch(77)).unwrap();
    directory.write_clean_shutdown(BrokerEpoch(77)).unwrap();
    drop(directory);
    disk.crash(CrashMode::LoseAll);

    let directory = open_on(&disk);
    assert_eq!(directory.meta().unwrap(), Some(meta));
    assert_eq!(directory.broker_epoch().unwrap(), Some(BrokerEpoch(77)));
    assert_eq!(directory.take_clean_shutdown().unwrap(), Some(BrokerEpoch(77)));
    drop(directory);
    disk.crash(CrashMode::LoseAll);
    assert_eq!(open_on(&disk).take_clean_shutdown().unwrap(), None, "the removal is durable");
}

#[test]
fn damaged_files_are_errors_that_name_the_file() {
    let root = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let directory =
        LogDirectory::open(Arc::clone(&fs), root.path(), FatalHandler::ignore()).unwrap();
    for (text, expected) in [
        ("", MalformedFile::Field("version")),
        ("version=0\nnode.id=1\n", MalformedFile::Version("0".to_owned())),
        ("version=1\n", MalformedFile::Field("node.id")),
        ("version=1\nnode.id=1\ndirectory.id=x\nraft.id=1\n", MalformedFile::Field("directory.id")),
    ] {
        std::fs::write(root.path().join(META), text).unwrap();
        let error = directory.meta().unwrap_err();
        assert!(error.to_string().contains("meta.properties"), "{error}");
        assert!(matches!(error, DirectoryError::Malformed { reason, .. } if reason == expected));
    }
    std::fs::write(root.path().join(BROKER_EPOCH), "version=1\nepoch=many\n").unwrap();
    assert!(directory.broker_epoch().is_err());
}

#[test]
fn one_process_has_the_directory_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let open = || LogDirectory::open(Arc::new(OsFileSystem), root.path(), FatalHandler::ignore());
    let first = open().unwrap();
    assert!(matches!(open(), Err(DirectoryError::Locked { .. })));
    drop(first);
    assert!(open().is_ok());
}

#[test]
fn new_partitions_are_durable_with_their_topic_ids() {
    let disk = SimulatedDisk::new(1);
    let directory = open_on(&disk);
    let created = [(partition("a", 0), id(1)), (partition("a-b", 12), id(2))];
    directory.create_partitions(&created).unwrap();
    directory.create_partitions(&created).unwrap();
    drop(directory);
    disk.crash(CrashMode::LoseAll);
    let directory = open_on(&disk);
    let found: Vec<_> = directory
        .partitions()
        .unwrap()
        .into_iter()
        .map(|entry| (entry.partition, entry.topic_id.unwrap()))
        .collect();
    assert_eq!(found, created);
    let other = [(partition("a", 0), id(9))];
    assert!(matches!(directory.create_partitions(&other), Err(OpenError::Stray { .. })));
}

#[test]
fn a_partition_that_a_crash_left_half_created_is_completed_unless_it_has_data() {
    let disk = SimulatedDisk::new(1);
    let directory = open_on(&disk);
    let path = directory.partition_path(&partition("a", 0));
    disk.create_dir(&path).unwrap();
    disk.open(&path.join("partition.metadata"), OpenMode::Create).unwrap();
    assert_eq!(directory.partitions().unwrap()[0].topic_id, None);
    directory.create_partitions(&[(partition("a", 0), id(1))]).unwrap();
    assert_eq!(directory.partitions().unwrap()[0].topic_id, Some(id(1)));

    let path = directory.partition_path(&partition("b", 0));
    disk.create_dir(&path).unwrap();
    disk.open(&path.join("00000000000000000000.log"), OpenMode::Create).unwrap();
    let created = directory.create_partitions(&[(partition("b", 0), id(2))]);
    assert!(matches!(created, Err(OpenError::Stray { .. })));
}

#[test]
fn stray_and_deleted_directories_are_nobodys_and_only_the_deleted_go() {
    let disk = SimulatedDisk::new(1);
    let directory = open_on(&disk);
    let long = "x".repeat(249);
    let created = [(partition(&long, 0), id(1)), (partition("b", 0), id(2))];
    directory.create_partitions(&created).unwrap();
    let options = |name: &str, number| {
        directory.open_options(&partition(name, 0), id(number), LogConfig::default(), UnixMillis(0))
    };
    options("b", 2).checkpoint.set_recovery_point(model::Offset(5));
    let entries = directory.partitions().unwrap();
    let deleted = directory.delete_partition(&entries[0]).unwrap();
    let stray = directory.make_stray(&entries[1]).unwrap();
    assert!(stray.file_name().unwrap().len() < 256);
    assert_eq!(directory.partitions().unwrap(), []);
    assert!(directory.checkpoints().entries().is_empty());
    directory.create_partitions(&[(partition("b", 0), id(2))]).unwrap();
    let again = directory.partitions().unwrap();
    assert_ne!(directory.delete_partition(&again[0]).unwrap(), deleted);
    directory.remove_deleted();
    assert!(!disk.exists(&deleted).unwrap());
    assert!(disk.exists(&stray).unwrap());
}

#[test]
fn a_raft_log_has_no_producers_and_appends_entries_of_several_terms() {
    use crate::log::FollowerAppend;
    use crate::test_batches::BatchSpec;
    use model::{LeaderEpoch, Offset};

    let root = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let directory =
        LogDirectory::open(Arc::clone(&fs), root.path(), FatalHandler::ignore()).unwrap();
    let (raft, raft_id) = LogDirectory::raft_partition();
    directory.create_partitions(&[(raft.clone(), raft_id)]).unwrap();
    let path = directory.partition_path(&raft);
    let open = || {
        let options = directory.raft_log_options(UnixMillis(0));
        Log::open(Arc::clone(&fs), &path, options).unwrap().0
    };
    let entry = |index, term| {
        BatchSpec::new(1).at(index).epoch(term).timestamps(-1, 0).producer(1, 0, 0).bytes()
    };
    let append = FollowerAppend { leader_epoch: LeaderEpoch(i32::MAX), now: UnixMillis(0) };
    let mut log = open();
    let entries = [entry(0, 1), entry(1, 1), entry(2, 3)].concat();
    log.append_as_follower(&entries, append).unwrap();
    log.append_as_follower(&entry(3, 3), append).unwrap();
    assert_eq!(log.producer_count(), 0);
    assert_eq!(log.epoch_for(Offset(1)), Some(LeaderEpoch(1)));
    log.truncate_to(Offset(3)).unwrap();
    log.append_as_follower(&entry(3, 4), append).unwrap();
    let flush = log.begin_flush().unwrap();
    assert_eq!(log.complete_flush(flush.run().unwrap()), Some(Offset(4)));
    assert!(log.advance_log_start(Offset(2)).is_none(), "one segment, which stays");
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(2), Offset(4)));
    log.restart_at(Offset(900)).unwrap();
    log.append_as_follower(&entry(900, 7), append).unwrap();
    drop(log);
    let log = open();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(900), Offset(901)));
    assert_eq!(log.last_epoch(), Some(LeaderEpoch(7)));
}
