//! Power loss on all brokers at once, on simulated disks: what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log_storage::{CrashMode, FatalHandler, SimulatedDisk};
use model::record_batch::Batches;
use model::{Acks, Offset};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::task::TaskTracker;

use crate::support::{Broker, Cluster, Setup, eventually, in_time, numbered, options, read_from};

#[tokio::test]
async fn acknowledged_records_survive_a_power_loss_of_all_brokers() {
    for seed in 0..8 {
        survive(seed).await;
    }
}

async fn survive(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = Cluster::new();
    let disks = [1, 2, 3].map(|disk| SimulatedDisk::new(seed * 10 + disk));
    let brokers = start_all(&cluster, &disks).await;
    let all: Vec<_> = brokers.iter().collect();
    cluster.create(0, &all, 2).await;
    let acknowledged: Arc<Mutex<BTreeMap<i64, u64>>> = Arc::default();
    let producers = TaskTracker::new();
    for producer in 0..2_u64 {
        let partition = brokers[0].partition(0);
        let acknowledged = Arc::clone(&acknowledged);
        producers.spawn(async move {
            let options = replication::ProduceOptions {
                timeout: Duration::from_millis(200),
                ..options(Acks::All)
            };
            for number in producer << 32.. {
                let waiter = partition.produce(&mut numbered(number), &options);
                // The first that fails met the power loss.
                let Ok(produced) = waiter.await else { return };
                acknowledged.lock().unwrap().insert(produced.base_offset.0, number);
            }
        });
    }
    eventually("some records", || acknowledged.lock().unwrap().len() >= 20).await;
    for disk in &disks {
        disk.power_off_after(random.random_range(0..40));
    }
    producers.close();
    in_time("the producers' end", producers.wait()).await;
    for broker in brokers {
        cluster.kill(broker).await;
    }
    for disk in &disks {
        disk.crash(CrashMode::Random);
    }

    let brokers = start_all(&cluster, &disks).await;
    for broker in &brokers {
        assert!(broker.proof.lost.is_empty(), "seed {seed}: {:?}", broker.proof);
    }
    let leader = brokers[0].partition(0);
    eventually("the commit of what the leader has", || {
        let status = leader.status();
        status.high_watermark == status.log_end_offset
    })
    .await;
    let mut found = BTreeMap::new();
    let mut next = Offset(0);
    while next < leader.status().high_watermark {
        let readable = leader.read(&read_from(next.0, 1 << 20)).unwrap();
        let bytes = leader.records(readable).await.unwrap();
        for batch in Batches::whole(&bytes) {
            let batch = batch.unwrap();
            let value = batch.bytes[batch.bytes.len() - 9..batch.bytes.len() - 1].try_into();
            found.insert(batch.header.base_offset.0, u64::from_be_bytes(value.unwrap()));
            next = batch.header.next_offset();
        }
    }
    for (offset, number) in acknowledged.lock().unwrap().iter() {
        assert_eq!(found.get(offset), Some(number), "seed {seed}, offset {offset}");
    }
    for broker in brokers {
        cluster.stop(broker).await;
    }
}

async fn start_all(cluster: &Cluster, disks: &[SimulatedDisk; 3]) -> Vec<Broker> {
    let mut brokers = Vec::new();
    for (id, disk) in (1..).zip(disks) {
        let fatal = FatalHandler::ignore();
        let setup = Setup { fs: Arc::new(disk.clone()), fatal, ..Setup::default() };
        brokers.push(cluster.start(id, setup).await);
    }
    brokers
}
