//! Generates the gRPC code of the control plane from `proto/steadfast/{raft,controller}/v1`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let files = [
        "steadfast/raft/v1/raft.proto",
        "steadfast/controller/v1/command.proto",
        "steadfast/controller/v1/controller.proto",
    ];
    println!("cargo:rerun-if-changed={root}/steadfast/raft/v1");
    println!("cargo:rerun-if-changed={root}/steadfast/controller/v1");
    let descriptors = protox::compile(files, [root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
