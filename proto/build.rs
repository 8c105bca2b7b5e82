//! Compiles `hawsepipe/v1/*.proto` with protox, so that no protoc has to be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = protox::compile(["hawsepipe/v1/logs.proto"], ["."])?;
    tonic_prost_build::configure().compile_fds(files)?;
    println!("cargo::rerun-if-changed=hawsepipe");
    Ok(())
}
