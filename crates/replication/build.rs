//! Generates the gRPC code of the replication stream from `proto/steadfast/replication/v1`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let file = "steadfast/replication/v1/replication.proto";
    println!("cargo:rerun-if-changed={root}/{file}");
    let descriptors = protox::compile([file], [root])?;
    // Record bytes stay references into the frame that they arrived in.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
